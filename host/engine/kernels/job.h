// What the host hands to the kernel that fetches what a pass over prompts is about. Mirrored by src/fused/args.rs.
#pragma once
#include <stdint.h>

struct Job {
    const uint32_t* from;  // [words], in the host's memory
    uint32_t* to;          // [words]
    int64_t words;
};
