// What the host hands to the kernel that generates a whole sequence. Mirrored by src/fused/args.rs.
#pragma once
#include <stdint.h>
#include "args.h"
#include "choose.h"

// Blocks of a launch at most.
#define MOST_BLOCKS 384
// Tokens that end a text, at most.
#define MOST_STOP_TOKENS 16

// How one matrix is dealt out to blocks and copied into shared memory. A tile is `tile_rows` whole rows, contiguous in
// memory, and is copied in `chunks` pieces of `chunk_bytes`, the last one being what is left.
struct Tiling {
    int32_t tile_rows;
    int32_t tiles;
    int32_t tile_bytes;
    int32_t chunk_bytes;
    int32_t chunks;
    int32_t kp;
};

// One sequence, its prompt already in the cache and its first new token chosen.
struct Generate {
    const uint8_t* layers;  // of layer l from layers + l * layer_bytes on
    uint64_t layer_bytes;
    LayerOffsets at;
    Tiling qkv, proj, up, down, head;
    const void* token_embedding;
    const void* position_embedding;
    const void* head_weight;
    const float* norm_weight;
    const float* norm_bias;
    uint8_t* keys;  // of layer l, of the one sequence, from keys + l * cache_layer_bytes on: [heads][room][hs]
    uint8_t* values;
    uint64_t cache_layer_bytes;
    uint64_t* packets;  // exchange memory, see Exchange in generate.cu
    uint32_t* failed;   // host memory: set when a block waited too long for the others
    int32_t* token;     // the token to go on from; the last one chosen is left there
    Row* row;           // whose position is that of the token to go on from
    uint32_t* step;     // number of the next token in its sequence, for sampling
    uint32_t* ring;     // host memory: the chosen tokens in order
    float* logits;      // [vocabulary] of the last step, where not null
    Choice choice;
    uint32_t first_sequence;  // numbers of packets that were never used before: 5 * layers + 1 a token
    int32_t tokens;           // how many to choose at most
    int32_t stop_count;       // of stop_tokens; 0: none
    uint32_t stop_tokens[MOST_STOP_TOKENS];  // each ends the generation
    int32_t layer_count, heads, hs, room;
    int32_t width, dp, ap, fp, vocabulary;
    int32_t group;   // blocks a head
    int32_t stages;  // buffers of weights, and their size, as the kernel has them
    int32_t stage_bytes;
    int32_t sum_stride;  // between the partial sums of two outputs of a block: odd, and as many as there are at most
    float epsilon;
    float scale;  // of the scores, of layer l divided by l + 1 if scale_by_layer
    int32_t scale_by_layer;
    int32_t gelu_erf;
    uint16_t
        up_starts[MOST_BLOCKS + 2];  // block b has the tiles from up_starts[b] to up_starts[b + 1] of the matrix `up`
};
