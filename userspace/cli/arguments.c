/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the parsing of a command's words: clusters of short options, --name=value and --name value,
 * "--", the checking of every value against its option's type. Abbreviated long names are refused:
 * a script that uses one would break when an option is added. */
#include "cli/arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"

const struct option_spec common_options[] = {
    {.key = COMMON_QUIET,
     .short_name = 'q',
     .long_name = "quiet",
     .type = OPTION_FLAG,
     .summary = "print errors only"},
    {.key = COMMON_VERBOSE,
     .short_name = 'v',
     .long_name = "verbose",
     .type = OPTION_FLAG,
     .summary = "say more about what is done"},
    {.key = COMMON_COLOR,
     .long_name = "color",
     .type = OPTION_CHOICE,
     .value_name = "WHEN",
     .default_value = "auto",
     .choices = "auto|always|never",
     .summary = "when to use colours (auto: on a terminal, unless NO_COLOR is set)"},
    {.key = COMMON_HELP,
     .short_name = 'h',
     .long_name = "help",
     .type = OPTION_FLAG,
     .summary = "show this help"},
    {0},
};

struct value {
  const char **texts; /* in order of appearance */
  size_t count;
  const char *text; /* the last one, or the default */
  uint64_t number;  /* of a count or a duration (ns) */
};

struct arguments {
  const struct command *command;
  struct value *own; /* by the command's keys */
  size_t own_count;
  struct value common[COMMON_COUNT];
  const char **rest; /* NULL-terminated */
  size_t rest_count;
};

/* The words still to be read. */
struct words {
  char *const *at;
  char *const *end;
};

bool option_is_hidden(const struct option_spec *option) {
  return !option->summary;
}

bool option_takes_value(const struct option_spec *option) {
  return option->type != OPTION_FLAG;
}

static const struct option_spec *own_options(const struct command *command) {
  static const struct option_spec none = {0};
  return command->options ? command->options : &none;
}

static const struct option_spec *find_long(const struct option_spec *options, const char *name,
                                           size_t length) {
  for (; options->long_name; options++)
    if (strlen(options->long_name) == length && memcmp(options->long_name, name, length) == 0)
      return options;
  return NULL;
}

static const struct option_spec *find_short(const struct option_spec *options, char name) {
  for (; options->long_name; options++)
    if (options->short_name && options->short_name == name)
      return options;
  return NULL;
}

/* A command's own options come first, so that it may give a common letter another meaning. */
static const struct option_spec *option_by_name(const struct command *command, const char *name,
                                                size_t length) {
  const struct option_spec *option = find_long(own_options(command), name, length);
  return option ? option : find_long(common_options, name, length);
}

static const struct option_spec *option_by_letter(const struct command *command, char letter) {
  const struct option_spec *option = find_short(own_options(command), letter);
  return option ? option : find_short(common_options, letter);
}

static struct value *value_of(struct arguments *arguments, const struct option_spec *option) {
  if (option >= common_options && option < common_options + COMMON_COUNT)
    return &arguments->common[option->key];
  return &arguments->own[option->key];
}

static bool is_choice(const char *choices, const char *text) {
  size_t length = strlen(text);
  for (const char *at = choices; length > 0; at++) {
    size_t span = strcspn(at, "|");
    if (span == length && memcmp(at, text, length) == 0)
      return true;
    at += span;
    if (*at == '\0')
      break;
  }
  return false;
}

/* "text|json|markdown" as "text, json, markdown". */
static void list_choices(char *out, size_t bytes, const char *choices) {
  size_t used = 0;
  for (; *choices && used + 3 < bytes; choices++) {
    if (*choices == '|')
      out[used++] = ',';
    out[used++] = *choices == '|' ? ' ' : *choices;
  }
  out[used] = '\0';
}

static int bad_value(const struct option_spec *option, const char *text, const char *accepted) {
  return error_set(EINVAL, "option --%s: '%s' is not valid: expected %s", option->long_name, text,
                   accepted);
}

static int check_value(const struct option_spec *option, const char *text, uint64_t *number) {
  char accepted[256];
  *number = 0;
  switch (option->type) {
  case OPTION_COUNT: {
    int error = units_parse_count(text, number);
    if (error == -ERANGE)
      return bad_value(option, text, "a smaller number");
    return error ? bad_value(option, text, "a whole number") : 0;
  }
  case OPTION_DURATION:
    if (units_parse_duration(text, number))
      return bad_value(option, text, "a duration such as 30, 30s, 500ms, 5m or 1h");
    return 0;
  case OPTION_CHOICE:
    if (is_choice(option->choices, text))
      return 0;
    list_choices(accepted, sizeof(accepted), option->choices);
    return error_set(EINVAL, "option --%s: '%s' is not valid: expected one of %s",
                     option->long_name, text, accepted);
  case OPTION_TEXT:
  case OPTION_FILE:
    return text[0] ? 0 : bad_value(option, text, option->type == OPTION_FILE ? "a file" : "a text");
  case OPTION_FLAG:
    break;
  }
  return 0;
}

static int add_value(struct arguments *arguments, const struct option_spec *option,
                     const char *text) {
  struct value *value = value_of(arguments, option);
  uint64_t number;
  int error = check_value(option, text, &number);
  if (error)
    return error;
  const char **texts = reallocarray(value->texts, value->count + 1, sizeof(*texts));
  if (!texts)
    return error_set(ENOMEM, "out of memory");
  texts[value->count] = text;
  value->texts = texts;
  value->count++;
  value->text = text;
  value->number = number;
  return 0;
}

/* Whether a word that stands where a value is expected is an option of this command: then the value
 * was forgotten. A number such as -5 is not; it is refused by its own check. */
static bool is_known_option(const struct command *command, const char *word) {
  if (word[0] != '-' || word[1] == '\0')
    return false;
  if (strcmp(word, "--") == 0)
    return true;
  if (word[1] == '-')
    return option_by_name(command, word + 2, strcspn(word + 2, "="));
  return option_by_letter(command, word[1]);
}

static int take_value(struct arguments *arguments, const struct option_spec *option,
                      struct words *words) {
  const char *name = option->value_name ? option->value_name : "value";
  if (words->at == words->end)
    return error_set(EINVAL, "option --%s needs a %s", option->long_name, name);
  if (is_known_option(arguments->command, *words->at))
    return error_set(EINVAL, "option --%s needs a %s, found '%s' (write --%s=%s if you mean that)",
                     option->long_name, name, *words->at, option->long_name, *words->at);
  return add_value(arguments, option, *words->at++);
}

static void consider_all(const struct option_spec *options, const char *name, const char **best,
                         unsigned *best_edits) {
  for (; options->long_name; options++)
    if (!option_is_hidden(options))
      suggest_consider(name, options->long_name, best, best_edits);
}

static int unknown_option(const struct command *command, const char *word, size_t length) {
  char name[64];
  const char *best = NULL;
  if (length - 2 < sizeof(name)) {
    memcpy(name, word + 2, length - 2);
    name[length - 2] = '\0';
    unsigned best_edits = suggest_limit(name) + 1;
    consider_all(own_options(command), name, &best, &best_edits);
    consider_all(common_options, name, &best, &best_edits);
  }
  if (best)
    return error_set(EINVAL, "unknown option '%.*s': did you mean --%s?", (int)length, word, best);
  return error_set(EINVAL, "unknown option '%.*s'", (int)length, word);
}

static int parse_long(struct arguments *arguments, const char *word, struct words *words) {
  size_t length = strcspn(word, "=");
  const struct option_spec *option = option_by_name(arguments->command, word + 2, length - 2);
  if (!option)
    return unknown_option(arguments->command, word, length);
  if (word[length] == '\0')
    return option_takes_value(option) ? take_value(arguments, option, words)
                                      : add_value(arguments, option, "1");
  if (!option_takes_value(option))
    return error_set(EINVAL, "option --%s takes no value, found '%s'", option->long_name,
                     word + length + 1);
  return add_value(arguments, option, word + length + 1);
}

/* -qv, -F99, -F 99, -qF99: the first letter that takes a value takes the rest of the word. */
static int parse_cluster(struct arguments *arguments, const char *word, struct words *words) {
  for (const char *letter = word + 1; *letter; letter++) {
    const struct option_spec *option = option_by_letter(arguments->command, *letter);
    if (!option && letter > word + 1)
      return error_set(EINVAL, "unknown option '-%c' in '%s'", *letter, word);
    if (!option)
      return error_set(EINVAL, "unknown option '%s'", word);
    if (option_takes_value(option))
      return letter[1] ? add_value(arguments, option, letter + 1)
                       : take_value(arguments, option, words);
    int error = add_value(arguments, option, "1");
    if (error)
      return error;
  }
  return 0;
}

static int parse_words(struct arguments *arguments, struct words *words) {
  bool options_ended = false;
  while (words->at < words->end) {
    const char *word = *words->at++;
    int error = 0;
    if (options_ended || word[0] != '-' || word[1] == '\0') {
      options_ended |= arguments->command->takes_command;
      arguments->rest[arguments->rest_count++] = word;
    } else if (strcmp(word, "--") == 0) {
      options_ended = true;
    } else if (word[1] == '-') {
      error = parse_long(arguments, word, words);
    } else {
      error = parse_cluster(arguments, word, words);
    }
    if (error)
      return error;
    if (arguments->common[COMMON_HELP].count)
      return 0;
  }
  return 0;
}

static int set_defaults(struct arguments *arguments, const struct option_spec *option) {
  for (; option->long_name; option++) {
    struct value *value = value_of(arguments, option);
    value->text = option->default_value;
    if (!value->text)
      continue;
    int error = check_value(option, value->text, &value->number);
    if (error)
      return error;
  }
  return 0;
}

static int allocate(struct arguments **out, const struct command *command, int count) {
  struct arguments *arguments = calloc(1, sizeof(*arguments));
  *out = arguments;
  if (!arguments)
    return error_set(ENOMEM, "out of memory");
  arguments->command = command;
  for (const struct option_spec *option = own_options(command); option->long_name; option++)
    if ((size_t)option->key >= arguments->own_count)
      arguments->own_count = (size_t)option->key + 1;
  arguments->own = calloc(arguments->own_count + 1, sizeof(*arguments->own));
  arguments->rest = calloc((size_t)count + 1, sizeof(*arguments->rest));
  if (!arguments->own || !arguments->rest)
    return error_set(ENOMEM, "out of memory");
  return 0;
}

int arguments_parse(struct arguments **out, const struct command *command, int count,
                    char *const *words) {
  struct words range = {.at = words, .end = words + count};
  int error = allocate(out, command, count);
  if (!error)
    error = set_defaults(*out, own_options(command));
  if (!error)
    error = set_defaults(*out, common_options);
  if (!error)
    error = parse_words(*out, &range);
  if (error) {
    arguments_free(*out);
    *out = NULL;
  }
  return error;
}

void arguments_free(struct arguments *arguments) {
  if (!arguments)
    return;
  for (size_t i = 0; arguments->own && i < arguments->own_count; i++)
    free(arguments->own[i].texts);
  for (size_t i = 0; i < COMMON_COUNT; i++)
    free(arguments->common[i].texts);
  free(arguments->own);
  free(arguments->rest);
  free(arguments);
}

bool arguments_common(const struct arguments *arguments, enum common_key key) {
  return arguments->common[key].count > 0;
}

enum color_mode arguments_color(const struct arguments *arguments) {
  const char *text = arguments->common[COMMON_COLOR].text;
  if (strcmp(text, "always") == 0)
    return COLOR_ALWAYS;
  return strcmp(text, "never") == 0 ? COLOR_NEVER : COLOR_AUTO;
}

const struct command *arguments_command(const struct arguments *arguments) {
  return arguments->command;
}

bool arguments_has(const struct arguments *arguments, int key) {
  return arguments->own[key].count > 0;
}

const char *arguments_text(const struct arguments *arguments, int key) {
  return arguments->own[key].text;
}

uint64_t arguments_count(const struct arguments *arguments, int key) {
  return arguments->own[key].number;
}

uint64_t arguments_duration_ns(const struct arguments *arguments, int key) {
  return arguments->own[key].number;
}

size_t arguments_values(const struct arguments *arguments, int key, const char *const **values) {
  *values = arguments->own[key].texts;
  return arguments->own[key].count;
}

size_t arguments_rest(const struct arguments *arguments, const char *const **rest) {
  *rest = arguments->rest;
  return arguments->rest_count;
}
