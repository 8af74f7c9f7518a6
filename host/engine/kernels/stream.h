// What the host hands to the kernel that reads memory. Mirrored by src/fused/args.rs.
#pragma once
#include <stdint.h>

struct Stream {
    const void* from;  // of 16 bytes each, all zero
    uint32_t* out;     // written where one is not
    uint64_t count;
};
