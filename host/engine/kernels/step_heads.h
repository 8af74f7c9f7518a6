// What the host hands to the kernel that computes a layer's heads for a step. Mirrored by src/fused/args.rs.
#pragma once
#include "args.h"

// Norms the residual stream, multiplies it, keeps keys and values, and attends. Of `qkv`, `out` is not used, and of
// `attention`, `q` is not; both have the same rows and cache.
struct StepHeads {
    Product qkv;
    StepAttention attention;
};
