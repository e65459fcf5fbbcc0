// SPDX-License-Identifier: GPL-2.0-or-later
// Inlining through closures and iterators.
mod search {
    pub mod deep {
        #[inline]
        pub fn score(a: &[f32], b: &[f32]) -> f32 {
            a.iter().zip(b).map(|(x, y)| x * y).sum()
        }
    }

    #[inline(never)]
    pub fn best(query: &[f32], all: &[Vec<f32>]) -> usize {
        let mut best = (0usize, f32::MIN);
        for (i, vector) in all.iter().enumerate() {
            let score = deep::score(query, vector);
            if score > best.1 {
                best = (i, score);
            }
        }
        best.0
    }
}

fn main() {
    let count = std::env::args().count() * 100;
    let all: Vec<Vec<f32>> = (0..count)
        .map(|i| (0..64).map(|j| ((i * j) % 17) as f32).collect())
        .collect();
    let sum: usize = all.iter().map(|v| search::best(v, &all)).sum();
    println!("{}", sum);
}
