#!/usr/bin/python3
"""lint: what compilers and readers find without running anything. The last line is "N passed, N failed".

    gcc -fanalyzer    paths through one file that end badly
    clang-tidy        .clang-tidy says which checks, and why not others
    cppcheck          cppcheck.txt says what is not listened to, and why
    conventions       functions of at most 60 lines and 3 levels, an essay on top of every .c, lines of at most 120

    tests/lint/lint.py [gcc|tidy|cppcheck|conventions]...      needs build/compile_commands.json
"""
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FUNCTION_LINES, LEVELS, COLUMNS, ESSAY_LINES = 60, 3, 120, 3

# Deeper than LEVELS until somebody has a better idea for them.
DEEP = {"check_listens", "check_hosts", "write_requests", "write_bytes"}

# What gcc 12's analyzer is not asked, and why.
GCC_SILENT = [
    "-Wno-analyzer-malloc-leak",          # loses sight of owners in lists and in callbacks' arguments
    "-Wno-analyzer-fd-leak",              # the same
    "-Wno-analyzer-use-of-uninitialized-value",  # does not see what a callee has filled in
    "-Wno-analyzer-null-argument",        # memcpy with a length of 0
    "-Wno-analyzer-possible-null-argument",
]


def sources():
    """Every file of src/ with its compiler command."""
    with open(f"{ROOT}/build/compile_commands.json", encoding="utf-8") as file:
        entries = json.load(file)
    seen = {}
    for entry in entries:
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if path.startswith("src/"):
            seen.setdefault(path, entry)
    return seen


def parallel(work, items):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(work, items) for line in lines]


def analyze(item):
    path, entry = item
    command = shlex.split(entry["command"])
    out = command.index("-o")
    command[out + 1] = "/dev/null"
    command = [word for word in command if word not in ("-Werror", "-MD") and not word.endswith(".d")]
    command = [w for i, w in enumerate(command) if w not in ("-MQ", "-MF") and (not i or command[i - 1] not in ("-MQ",))]
    command[0] = "gcc"
    done = subprocess.run(command + ["-fanalyzer", "-fdiagnostics-path-format=none", "-fdiagnostics-color=never",
                                     *GCC_SILENT],
                          cwd=entry["directory"], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if "warning:" in line or "error:" in line]
    return lines or ([done.stderr[-500:]] if done.returncode else [])


def gcc():
    return parallel(analyze, sources().items())


def tidy_one(path):
    done = subprocess.run(["clang-tidy-14", "-p", f"{ROOT}/build", "--quiet", "--extra-arg=-Wno-unknown-warning-option",
                           f"{ROOT}/{path}"], capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if re.search(r": (warning|error): ", line)]


def tidy():
    return sorted(set(parallel(tidy_one, sources())))


def cppcheck():
    done = subprocess.run(
        ["cppcheck", "--enable=warning,performance,portability", "--std=c11", "--language=c", "--quiet",
         "--library=posix", "--library=gnu", "-D_GNU_SOURCE", '-DCASGATE_VERSION="0"', f"--library={ROOT}/tests/lint/jansson.cfg",
         "-Iinclude", f"-j{os.cpu_count()}",
         f"--suppressions-list={ROOT}/tests/lint/cppcheck.txt", "--inline-suppr",
         "--template={file}:{line}: {severity}: {message} [{id}]", "src"],
        cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()


def functions(lines):
    """(name, first line, body lines) of every definition: the name in column one, `{` and `}` alone in theirs."""
    name, first, start = None, 0, None
    for number, line in enumerate(lines, 1):
        match = re.match(r"(\w+)\(", line)
        if match and start is None:
            name, first = match[1], number
        elif line == "{" and name:
            start = number
        elif line == "}" and start is not None:
            yield name, first, lines[start:number - 1]
            name, start = None, None


def levels(body):
    """How deep blocks are nested, by their indentation; continuation lines do not open blocks."""
    deepest = 0
    for line in body:
        if re.match(r" *(if|for|while|switch|do|else|\} else)\b", line):
            indent = len(line) - len(line.lstrip())
            deepest = max(deepest, indent // 4)
    return deepest


def check_file(path):
    with open(f"{ROOT}/{path}", encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield f"{path}:{number}: {len(line)} columns"
    if path.endswith(".c"):
        end = lines.index(" */") if " */" in lines else 0
        if lines[0] != "/*" or end < ESSAY_LINES - 1:
            yield f"{path}:1: no essay of {ESSAY_LINES} lines or more"
        for name, first, body in functions(lines):
            if len(body) + 2 > FUNCTION_LINES:
                yield f"{path}:{first}: {name} has {len(body) + 2} lines"
            if levels(body) > LEVELS + (name in DEEP):
                yield f"{path}:{first}: {name} is nested {levels(body)} levels deep"


def conventions():
    complaints = []
    for folder, _, names in sorted(os.walk(f"{ROOT}/src")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                complaints += check_file(os.path.relpath(os.path.join(folder, name), ROOT))
    return complaints


def main():
    tools = {"gcc": gcc, "tidy": tidy, "cppcheck": cppcheck, "conventions": conventions}
    failed = 0
    chosen = sys.argv[1:] or list(tools)
    for name in chosen:
        complaints = tools[name]()
        failed += bool(complaints)
        print(f"{name}: {len(complaints)} complaints" if complaints else f"{name}: clean")
        for line in complaints:
            print(f"  {line}")
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
