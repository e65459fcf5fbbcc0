/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines in, parsed values or one clear error out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/help.h"

enum { FLAG, NAME, RATE, TIME, FORMAT, FILE_, OTHER_FLAG };

static const struct option_spec options[] = {
    {FLAG, 'x', "extra", OPTION_FLAG, false, NULL, NULL, NULL, "a flag"},
    {NAME, 'n', "name", OPTION_TEXT, true, "TEXT", NULL, NULL, "a text, repeatable"},
    {RATE, 'F', "frequency", OPTION_COUNT, false, "HZ", "99", NULL, "a count"},
    {TIME, 'd', "duration", OPTION_DURATION, false, "TIME", NULL, NULL, "a duration"},
    {FORMAT, 'f', "format", OPTION_CHOICE, false, "FORMAT", "text", "text|json|markdown", "one of"},
    {FILE_, 'o', "output", OPTION_FILE, false, "FILE", NULL, NULL, "a file"},
    {OTHER_FLAG, 'y', "yes", OPTION_FLAG, false, NULL, NULL, NULL, "another flag"},
    {0},
};

static const struct command plain = {.name = "plain", .synopsis = "plain", .options = options};
static const struct command runner = {
    .name = "runner", .synopsis = "runner", .options = options, .takes_command = true};
static const struct command bare = {.name = "bare", .synopsis = "bare"};

#define WORDS_MAX 16

/* A command line as one text, split at blanks. */
struct line {
  char text[256];
  char *words[WORDS_MAX];
  int count;
  struct arguments *arguments;
  int error;
};

static void parse(struct line *line, const struct command *command, const char *text) {
  char *at = line->text;
  memset(line, 0, sizeof(*line));
  assert_true(strlen(text) < sizeof(line->text));
  memcpy(line->text, text, strlen(text) + 1);
  for (char *word; (word = strsep(&at, " ")) && line->count < WORDS_MAX;)
    if (*word)
      line->words[line->count++] = word;
  error_clear();
  line->error = arguments_parse(&line->arguments, command, line->count, line->words);
}

static void test_values(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool has_flag;
    uint64_t rate;
    uint64_t duration_ns;
    const char *format;
    const char *output;
  } rows[] = {
      {"", false, 99, 0, "text", NULL},
      {"-x", true, 99, 0, "text", NULL},
      {"--extra", true, 99, 0, "text", NULL},
      {"-F 5", false, 5, 0, "text", NULL},
      {"-F5", false, 5, 0, "text", NULL},
      {"-xF5", true, 5, 0, "text", NULL},
      {"-xyF 5 -d2s", true, 5, 2000000000ull, "text", NULL},
      {"--frequency 997", false, 997, 0, "text", NULL},
      {"--frequency=997", false, 997, 0, "text", NULL},
      {"-F 1 -F 2", false, 2, 0, "text", NULL},
      {"-d 500ms", false, 99, 500000000ull, "text", NULL},
      {"--duration=5m", false, 99, 300000000000ull, "text", NULL},
      {"--format json", false, 99, 0, "json", NULL},
      {"--format=markdown -o -", false, 99, 0, "markdown", "-"},
      {"-o a=b", false, 99, 0, "text", "a=b"},
      {"--output=--extra", false, 99, 0, "text", "--extra"},
      {"--output==", false, 99, 0, "text", "="},
      {"-- -x", false, 99, 0, "text", NULL},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct line line;
    parse(&line, &plain, rows[i].text);
    assert_int_equal(line.error, 0);
    assert_int_equal(arguments_has(line.arguments, FLAG), rows[i].has_flag);
    assert_int_equal(arguments_count(line.arguments, RATE), rows[i].rate);
    assert_int_equal(arguments_duration_ns(line.arguments, TIME), rows[i].duration_ns);
    assert_string_equal(arguments_text(line.arguments, FORMAT), rows[i].format);
    const char *output = arguments_text(line.arguments, FILE_);
    assert_string_equal(output ? output : "(none)", rows[i].output ? rows[i].output : "(none)");
    arguments_free(line.arguments);
  }
}

static void test_errors_say_what_and_where(void **state) {
  (void)state;
  static const struct {
    const char *text, *cause; /* all of the cause */
  } rows[] = {
      {"--format xml", "option --format: 'xml' is not valid: expected one of text, json, markdown"},
      {"-f text|json",
       "option --format: 'text|json' is not valid: expected one of text, json, markdown"},
      {"-f tex", "option --format: 'tex' is not valid: expected one of text, json, markdown"},
      {"-F many", "option --frequency: 'many' is not valid: expected a whole number"},
      {"-F -5", "option --frequency: '-5' is not valid: expected a whole number"},
      {"-F 99999999999999999999",
       "option --frequency: '99999999999999999999' is not valid: expected a smaller number"},
      {"-d soon", "option --duration: 'soon' is not valid: expected a duration such as 30, 30s, "
                  "500ms, 5m or 1h"},
      {"--output=", "option --output: '' is not valid: expected a file"},
      {"-o", "option --output needs a FILE"},
      {"--output --extra", "option --output needs a FILE, found '--extra' (write "
                           "--output=--extra if you mean that)"},
      {"-o -x", "option --output needs a FILE, found '-x' (write --output=-x if you mean that)"},
      {"--extra=1", "option --extra takes no value, found '1'"},
      {"--outputt=x", "unknown option '--outputt': did you mean --output?"},
      {"--ouptut x", "unknown option '--ouptut': did you mean --output?"},
      {"--form json", "unknown option '--form': did you mean --format?"},
      {"--verbsoe", "unknown option '--verbsoe': did you mean --verbose?"},
      {"--zebra-crossing", "unknown option '--zebra-crossing'"},
      {"-z", "unknown option '-z'"},
      {"-xz", "unknown option '-z' in '-xz'"},
      {"--color=purple",
       "option --color: 'purple' is not valid: expected one of auto, always, never"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct line line;
    parse(&line, &plain, rows[i].text);
    assert_int_equal(line.error, -EINVAL);
    assert_null(line.arguments);
    assert_string_equal(error_text(), rows[i].cause);
  }
}

static void assert_rest(const struct line *line, const char *expected) {
  char joined[256] = "";
  const char *const *rest;
  size_t count = arguments_rest(line->arguments, &rest);
  for (size_t i = 0; i < count; i++) {
    strncat(joined, i ? " " : "", sizeof(joined) - strlen(joined) - 1);
    strncat(joined, rest[i], sizeof(joined) - strlen(joined) - 1);
  }
  assert_null(rest[count]);
  assert_string_equal(joined, expected);
}

static void test_operands(void **state) {
  (void)state;
  static const struct {
    const struct command *command;
    const char *text, *rest;
  } rows[] = {
      {&plain, "", ""},
      {&plain, "a b", "a b"},
      {&plain, "a -x b", "a b"},
      {&plain, "a -- -x --", "a -x --"},
      {&plain, "- -x", "-"},
      {&runner, "-x prog -x --format json", "prog -x --format json"},
      {&runner, "-F 5 -- prog -- -x", "prog -- -x"},
      {&runner, "-F 5 prog -- -x", "prog -- -x"},
      {&bare, "a -q b", "a b"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct line line;
    parse(&line, rows[i].command, rows[i].text);
    assert_int_equal(line.error, 0);
    assert_rest(&line, rows[i].rest);
    arguments_free(line.arguments);
  }
}

static void test_repeated_values_keep_their_order(void **state) {
  (void)state;
  struct line line;
  const char *const *values;
  parse(&line, &plain, "-n one file --name=two -xn three");
  assert_int_equal(line.error, 0);
  assert_int_equal(arguments_values(line.arguments, NAME, &values), 3);
  assert_string_equal(values[0], "one");
  assert_string_equal(values[1], "two");
  assert_string_equal(values[2], "three");
  assert_string_equal(arguments_text(line.arguments, NAME), "three");
  assert_int_equal(arguments_values(line.arguments, FORMAT, &values), 0);
  assert_rest(&line, "file");
  arguments_free(line.arguments);
}

static void test_common_options(void **state) {
  (void)state;
  struct line line;
  parse(&line, &bare, "-qv --color=never");
  assert_int_equal(line.error, 0);
  assert_true(arguments_common(line.arguments, COMMON_QUIET));
  assert_true(arguments_common(line.arguments, COMMON_VERBOSE));
  assert_false(arguments_common(line.arguments, COMMON_HELP));
  assert_int_equal(arguments_color(line.arguments), COLOR_NEVER);
  arguments_free(line.arguments);
  parse(&line, &plain, "");
  assert_int_equal(arguments_color(line.arguments), COLOR_AUTO);
  arguments_free(line.arguments);
}

static void test_help_wins_over_what_follows(void **state) {
  (void)state;
  struct line line;
  parse(&line, &plain, "-x -h --no-such-option");
  assert_int_equal(line.error, 0);
  assert_true(arguments_common(line.arguments, COMMON_HELP));
  arguments_free(line.arguments);
}

static void check_options(const struct command *command) {
  bool letters[128] = {false};
  for (const struct option_spec *at = common_options; at->long_name; at++)
    if (at->short_name)
      letters[(unsigned char)at->short_name] = true;
  for (const struct option_spec *at = command->options; at && at->long_name; at++) {
    assert_true(at->key >= 0 && at->key < 64);
    if (at->short_name) {
      assert_false(letters[(unsigned char)at->short_name]);
      letters[(unsigned char)at->short_name] = true;
    }
    assert_int_equal(at->type == OPTION_CHOICE, at->choices != NULL);
    if (at->type == OPTION_FLAG)
      assert_null(at->value_name);
    for (const struct option_spec *other = command->options; other < at; other++) {
      assert_int_not_equal(other->key, at->key);
      assert_string_not_equal(other->long_name, at->long_name);
    }
  }
}

/* What every part that reads the tables relies on. */
static void test_tables_are_sound(void **state) {
  (void)state;
  for (const struct command *const *at = commands; *at; at++) {
    const struct command *command = *at;
    struct line line;
    assert_non_null(command->run);
    assert_non_null(command->summary);
    assert_null(strchr(command->summary, '\n'));
    assert_int_equal(strncmp(command->synopsis, command->name, strlen(command->name)), 0);
    check_options(command);
    parse(&line, command, ""); /* every default passes its own check */
    assert_int_equal(line.error, 0);
    arguments_free(line.arguments);
  }
}

static void test_suggestions(void **state) {
  (void)state;
  assert_string_equal(command_suggest("reprot"), "report");
  assert_string_equal(command_suggest("flam"), "flame");
  assert_string_equal(command_suggest("rep"), "report");
  assert_null(command_suggest("zzzzzzzz"));
  assert_null(command_suggest(
      "a-word-that-is-much-longer-than-any-name-of-a-command-or-an-option-could-ever-be"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_errors_say_what_and_where),
      cmocka_unit_test(test_operands),
      cmocka_unit_test(test_repeated_values_keep_their_order),
      cmocka_unit_test(test_common_options),
      cmocka_unit_test(test_help_wins_over_what_follows),
      cmocka_unit_test(test_tables_are_sound),
      cmocka_unit_test(test_suggestions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
