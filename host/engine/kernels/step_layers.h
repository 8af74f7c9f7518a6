// What the host hands to the kernel that takes one new token of each sequence through all layers. Mirrored by
// src/fused/args.rs.
#pragma once
#include "args.h"

// Clusters of a launch.
#define STEP_CLUSTERS 24

struct StepLayers {
    const uint8_t* layers;  // of layer l from layers + l * layer_bytes on
    uint64_t layer_bytes;
    LayerOffsets at;
    const void* token_embedding;
    const void* position_embedding;
    const int32_t* tokens;  // [m]
    const Row* rows;        // [m]
    uint8_t* keys;          // of layer l from keys + l * cache_layer_bytes on: [sequences][heads][room][64]
    uint8_t* values;
    uint64_t cache_layer_bytes;
    float* x;                  // [m][768]: the residual stream as the layers leave it
    void* attended;            // Real [m][768]
    void* hidden;              // Real [m][3072]
    float2* statistics;        // [m][STEP_CLUSTERS]: of each row and cluster, its columns' mean and squared distances
    const float* norm_weight;  // of the last norm
    const float* norm_bias;
    void* normed;         // Real [m][768]: the residual stream after it
    uint32_t* arrived;    // blocks at the barrier: 0 before a launch and after it
    uint32_t* failed;     // host memory: set when a block waited too long for the others
    const uint8_t* head;  // weights of the head, which comes next, in tiles of eight outputs
    int32_t m;
    int32_t layer_count;
    int32_t room;
    float epsilon;
    float scale;  // of the scores, of layer l divided by l + 1 if scale_by_layer
    int32_t scale_by_layer;
    int32_t gelu_erf;
    int32_t head_tiles;
    int32_t head_ahead;  // bytes of each of these tiles to have read into the second-level cache
};
