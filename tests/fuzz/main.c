/*
 * main: the door through which libFuzzer and AFL++ (by its libAFLDriver) come in. One program per target,
 * FUZZ_RUN being its function.
 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return FUZZ_RUN(data, size);
}
