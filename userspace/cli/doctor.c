/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ragprof doctor`: what this host, user and target allow; what is missing and how to get it.
 * Changes nothing: what it loads and opens to try is closed again. */
#include "cli/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/arguments.h"
#include "cli/output.h"

extern const struct command command_doctor;

enum { KEY_PID, KEY_JSON };

#define PID_LIMIT (1u << 22) /* PID_MAX_LIMIT of include/linux/threads.h */

static const struct option_spec options[] = {
    {.key = KEY_PID,
     .short_name = 'p',
     .long_name = "pid",
     .type = OPTION_COUNT,
     .value_name = "PID",
     .summary = "look at this process, too"},
    {.key = KEY_JSON, .long_name = "json", .type = OPTION_FLAG, .summary = "write JSON"},
    {0},
};

/* How each status looks; indexed by enum check_status. */
static const struct {
  const char *name, *color;
} statuses[] = {
    [CHECK_OK] = {"ok", "\033[32m"},
    [CHECK_LIMITED] = {"limited", "\033[33m"},
    [CHECK_MISSING] = {"missing", "\033[1;31m"},
    [CHECK_INFO] = {"info", "\033[2m"},
};

struct check *check_add(struct checkup *checkup, enum check_status status, const char *name,
                        const char *value_format, ...) {
  va_list args;
  if (checkup->count < CHECKS_MAX)
    checkup->count++;
  struct check *check = &checkup->checks[checkup->count - 1];
  *check = (struct check){.name = name, .status = status};
  va_start(args, value_format);
  vsnprintf(check->value, sizeof(check->value), value_format, args);
  va_end(args);
  check_clean(check->value);
  return check;
}

void check_explain(struct check *check, const char *meaning, const char *remedy) {
  snprintf(check->meaning, sizeof(check->meaning), "%s", meaning ? meaning : "");
  snprintf(check->remedy, sizeof(check->remedy), "%s", remedy ? remedy : "");
  check_clean(check->meaning);
  check_clean(check->remedy);
}

void check_clean(char *text) {
  for (; *text; text++)
    if ((unsigned char)*text < ' ' || *text == 0x7f)
      *text = '?';
}

bool doctor_read_line(const char *path, char *line, size_t bytes) {
  FILE *file = fopen(path, "re");
  line[0] = '\0';
  if (!file)
    return false;
  bool found = fgets(line, (int)bytes, file) != NULL;
  fclose(file);
  if (!found)
    line[0] = '\0';
  line[strcspn(line, "\n")] = '\0';
  return found;
}

bool doctor_read_field(const char *path, const char *key, char *value, size_t bytes) {
  char line[512];
  size_t length = strlen(key);
  bool found = false;
  FILE *file = fopen(path, "re");
  value[0] = '\0';
  if (!file)
    return false;
  while (!found && fgets(line, sizeof(line), file)) {
    if (strncmp(line, key, length) != 0 || line[length] != ':')
      continue;
    line[strcspn(line, "\n")] = '\0';
    const char *text = line + length + 1;
    snprintf(value, bytes, "%s", text + strspn(text, " \t"));
    found = true;
  }
  fclose(file);
  return found;
}

static bool attach_works(const struct checkup *checkup) {
  for (size_t i = 0; i < checkup->count; i++)
    if (checkup->checks[i].status == CHECK_MISSING)
      return false;
  return true;
}

static void print_check(const struct check *check, bool color, bool verbose) {
  const char *begin = color ? statuses[check->status].color : "";
  const char *end = color ? "\033[0m" : "";
  bool explains = verbose || check->status == CHECK_LIMITED || check->status == CHECK_MISSING;
  printf("  %s%-7s%s  %-22s  %s\n", begin, statuses[check->status].name, end, check->name,
         check->value);
  if (explains && check->meaning[0])
    printf("%35s%s\n", "", check->meaning);
  if (explains && check->remedy[0])
    printf("%35s-> %s\n", "", check->remedy);
}

static void print_text(const struct checkup *checkup, const struct arguments *arguments) {
  bool color = output_color(arguments, NULL);
  bool verbose = arguments_common(arguments, COMMON_VERBOSE);
  size_t missing_count = 0, limited_count = 0;
  for (size_t i = 0; i < checkup->count; i++) {
    print_check(&checkup->checks[i], color, verbose);
    missing_count += checkup->checks[i].status == CHECK_MISSING;
    limited_count += checkup->checks[i].status == CHECK_LIMITED;
  }
  putchar('\n');
  if (missing_count)
    printf("attach would fail: %zu missing, see above\n", missing_count);
  else if (limited_count)
    printf("attach works, %zu limited, see above\n", limited_count);
  else
    printf("attach works\n");
  if (missing_count)
    printf(checkup->run_works ? "run works, by the preloaded library alone\n" : "run would fail\n");
}

static void print_json(const struct checkup *checkup) {
  struct json json;
  json_begin(&json, stdout, 2);
  json_open_object(&json);
  json_member_text(&json, "schema", "ragprof.doctor/1");
  json_member_bool(&json, "attach_works", attach_works(checkup));
  json_member_bool(&json, "run_works", attach_works(checkup) || checkup->run_works);
  json_key(&json, "checks");
  json_open_array(&json);
  for (size_t i = 0; i < checkup->count; i++) {
    const struct check *check = &checkup->checks[i];
    json_open_object(&json);
    json_member_text(&json, "name", check->name);
    json_member_text(&json, "status", statuses[check->status].name);
    json_member_text(&json, "value", check->value);
    json_member_text(&json, "meaning", check->meaning);
    json_member_text(&json, "remedy", check->remedy);
    json_close_object(&json);
  }
  json_close_array(&json);
  json_close_object(&json);
  json_end(&json);
}

static int examine(const struct arguments *arguments, pid_t pid) {
  struct checkup *checkup = calloc(1, sizeof(*checkup));
  if (!checkup) {
    error_set(ENOMEM, "out of memory");
    return command_failed();
  }
  doctor_check_host(checkup);
  doctor_check_events(checkup);
  doctor_check_shim(checkup);
  if (pid)
    doctor_check_target(checkup, pid);
  if (arguments_has(arguments, KEY_JSON))
    print_json(checkup);
  else
    print_text(checkup, arguments);
  int exit_code = attach_works(checkup) ? EXIT_OK : EXIT_FAILED;
  free(checkup);
  return exit_code;
}

static int run(const struct arguments *arguments) {
  const char *const *rest;
  uint64_t pid = arguments_count(arguments, KEY_PID);
  if (arguments_rest(arguments, &rest) > 0)
    return command_usage_error(&command_doctor,
                               "unexpected operand '%s' (a process is named by -p)", rest[0]);
  if (arguments_has(arguments, KEY_PID) && (pid == 0 || pid > PID_LIMIT))
    return command_usage_error(&command_doctor, "option --pid: expected 1 to %u", PID_LIMIT);
  return examine(arguments, (pid_t)pid);
}

const struct command command_doctor = {
    .name = "doctor",
    .synopsis = "doctor [OPTIONS]",
    .summary = "show what this host, user and process allow",
    .description =
        "Looks at everything that a capture needs: the kernel, BPF, perf events, privileges, "
        "containers, the library that run preloads, and with -p a process. Each line says ok, "
        "limited (a capture works, with less "
        "in it), missing (it cannot work) or info, what was found, what follows from it, and the "
        "exact step that helps. What can be tried is tried, and undone.\n\n"
        "Run it as you would run attach, with sudo or without: what it says holds for that user. "
        "With -v it explains the lines that are in order as well.",
    .examples =
        "$ sudo ragprof doctor\n"
        "# can this process be profiled, and how well?\n"
        "$ sudo ragprof doctor -p 4242\n"
        "# for a script\n"
        "$ sudo ragprof doctor --json | jq -r '.checks[] | select(.status == \"missing\")'\n",
    .options = options,
    .run = run,
};
