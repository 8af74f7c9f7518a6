// What the host hands to the kernel that works on rows of the residual stream. Mirrored by src/fused/args.rs.
#pragma once
#include <stdint.h>
#include "args.h"

// For each of m rows, in this order: embed, if there are tokens; add partial sums and a bias, if there are any; norm,
// if there is a norm.
struct Rows {
    float* x;               // [..][dp]: the residual stream
    const int32_t* tokens;  // [m], or null
    const Row* rows;        // [m]: positions of the tokens
    const void* token_embedding;
    const void* position_embedding;
    const float* partials;  // [splits][partial_rows][dp], or null
    const float* bias;      // [dp]
    const int32_t*
        picks;  // where not null, row r is row picks[r + 1] - 1 of x and of the partial sums: a sequence's last one
    void* out;  // Real [m][parts][dp]: the normed rows, or null; in parts as a Product has them
    const float* norm_weight;
    const float* norm_bias;
    int32_t m;
    int32_t dp;
    int32_t width;
    int32_t splits;
    int32_t partial_rows;
    float epsilon;
    int32_t parts;
};
