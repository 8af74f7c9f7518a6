// What the host hands to the kernels. Mirrored by src/fused/args.rs, field by field.
//
// Sizes with a `p` at the end are padded with zeros to a multiple of 64: dp of the residual stream, ap of all heads
// together, fp of the hidden units. `hs` is a head's size padded to a multiple of 16, so heads * hs <= ap. Every padded
// number of a weight, a bias or a norm is 0, so that padded activations are 0, too.
//
// Activations are row-major, a row a token. `Real` is the type of the weights: float, half or bfloat16; the residual
// stream, sums and logits are float in any case.
#pragma once
#include <stdint.h>

// Where the keys and values of one token lie, and which position it has. `sequence` < 0 marks a row of padding, of
// which nothing may be read or kept.
struct Row {
    int32_t sequence;
    int32_t position;
};

// Keys and values of one layer: each [sequences][heads][room][hs] of Real.
struct Cache {
    void* keys;
    void* values;
    int32_t heads;
    int32_t room;
    int32_t hs;
    int32_t reserved;
};

// Byte offsets into the memory of one layer.
struct LayerOffsets {
    uint32_t qkv, proj, up, down;
    uint32_t norm_1_weight, norm_1_bias, qkv_bias, proj_bias;
    uint32_t norm_2_weight, norm_2_bias, up_bias, down_bias;
};

enum Epilogue : int32_t {
    // Rows of 3 * heads * hs outputs are queries, keys and values, each [heads][hs]. `out` is the queries, Real
    // [m][ap];
    // keys and values of rows that are no padding go to the cache.
    EPILOGUE_QKV = 0,
    // `out` is Real [m][np]: GELU of the sum and the bias.
    EPILOGUE_GELU = 1,
    // `out` is float [splits][m][np]: sums over a part of k each, without the bias.
    EPILOGUE_PARTIAL = 2,
    // `out` is float [m][np], without a bias.
    EPILOGUE_LOGITS = 3,
    // `out` is float [m][np], the residual stream, to which the sum and the bias are added.
    EPILOGUE_RESIDUAL = 4,
};

// out[m][np] = a[m][kp] * w[np][kp]^T + bias. kp is a multiple of 64, np of 8.
//
// bfloat16 has eight bits of a number. Where these are too few, `a` has each row in two parts, [m][2][kw]: the rounded
// numbers, and what rounding left of them. kp is then 2 * kw, and both parts meet the same weights.
//
// A matrix of float is row-major [np][kp]. One of half or bfloat16 is blocked: [np / 8][kp / 32][8][32], so that the
// eight numbers of one 16-byte read are neighbours of one row, and 8 rows by 32 columns are 512 bytes in a row.
struct Product {
    const void* a;
    const void* w;
    const float* bias;
    void* out;
    const Row* rows;  // [m], for EPILOGUE_QKV
    Cache cache;      // for EPILOGUE_QKV
    int32_t m;
    int32_t np;
    int32_t kp;
    int32_t ap;
    int32_t gelu_erf;  // 1: GELU by the error function, 0: by tanh
    int32_t epilogue;  // an Epilogue
    // Where the product norms its own input: a is then the residual stream, float [m][kp].
    const float* norm_weight;
    const float* norm_bias;
    float epsilon;
    int32_t width;  // numbers of a row that are not padding
    int32_t kw;     // columns of w: kp, or half of it in bfloat16
};

// Attention of the prompt's tokens over themselves, one block a (tile of queries, head, sequence).
struct PromptAttention {
    const void* q;  // Real [m][ap]
    void* out;      // Real [m][ap]
    const int32_t*
        starts;  // [sequences + 1]: the rows of a sequence are starts[s] .. starts[s + 1], in order of position from 0
    const int32_t* slots;  // [sequences]: which sequence of the cache
    Cache cache;
    int32_t ap;
    float scale;  // of the scores
};

// Attention of one new token of each sequence over all before it and itself.
struct StepAttention {
    const void* q;    // Real [m][ap]
    void* out;        // Real [m][ap]
    const Row* rows;  // [m]
    Cache cache;
    int32_t ap;
    float scale;
};
