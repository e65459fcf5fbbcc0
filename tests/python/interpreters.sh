#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Prints the CPython interpreters of this machine that the tests use, one path a line: the newest of
# each 3.8-3.13 under pyenv's root, and the system's own
# if it is one of these too.
root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")}
for minor in 8 9 10 11 12 13; do
  found=
  for python in "$root"/versions/3.$minor.*/bin/python3.$minor; do
    [ -x "$python" ] && found=$python
  done
  [ -n "$found" ] && echo "$found"
done
system=$(readlink -f /usr/bin/python3)
case $system in
*/python3.[89] | */python3.1[0-3]) [ -x "$system" ] && echo "$system" ;;
esac
exit 0
