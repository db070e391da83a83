/*
 * fuzz: what fuzzers begin with (tests/fuzz/corpus) and what they have found (tests/fuzz/regressions), replayed
 * through the same functions. A crash input is committed with its fix, and this is where it stays.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20 };

static void
replay_file(const char *path, int (*run)(const uint8_t *, size_t))
{
    uint8_t *data = malloc(INPUT_MAX);
    FILE *file = fopen(path, "re");
    uint8_t *exact;
    size_t size;

    cr_assert(data && file, "cannot read %s", path);
    size = fread(data, 1, INPUT_MAX, file);
    fclose(file);
    exact = malloc(size ? size : 1); /* so that a sanitizer sees one byte too many */
    cr_assert(exact);
    memcpy(exact, data, size);
    fuzz_input = path;
    run(exact, size);
    fuzz_input = NULL;
    free(exact);
    free(data);
}

/* Returns how many files there were; a folder that is not there has none. */
static size_t
replay_folder(const char *kind, const char *target, int (*run)(const uint8_t *, size_t))
{
    char path[1024];
    struct dirent *entry;
    size_t count = 0;
    DIR *folder;

    snprintf(path, sizeof(path), "%s/%s/%s", FUZZ_ROOT, kind, target);
    folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s/%s", FUZZ_ROOT, kind, target, entry->d_name);
        replay_file(path, run);
        count++;
    }
    if (folder)
        closedir(folder);
    return count;
}

static void
replay(const char *target, int (*run)(const uint8_t *, size_t))
{
    cr_assert_gt(replay_folder("corpus", target, run), 0, "no seeds for %s", target);
    replay_folder("regressions", target, run);
    cr_assert_eq(run((const uint8_t *)"", 0), 0);
}

#define ROW(name)                                                                                  \
    Test(fuzz, every_kept_input_holds_for_##name, .timeout = 120) { replay(#name, fuzz_##name); }
FUZZ_TARGETS(ROW)
#undef ROW
