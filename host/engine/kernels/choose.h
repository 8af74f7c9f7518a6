// What the host hands to the kernels that choose the next tokens. Mirrored by src/fused/args.rs, field by field.
#pragma once
#include <stdint.h>
#include "args.h"

// What the host gets in place of a token where the logits are not numbers.
constexpr uint32_t NO_NUMBER = 0xfffffffeu;

// How the tokens of a sequence are chosen.
struct Choice {
    uint64_t seed;
    float temperature;  // 0: greedy
    uint32_t top_k;     // 0: all
    float top_p;        // 1: all
    uint32_t reserved;
};

// Where the blocks that share a sequence meet. All zeros before the first launch and after each one.
struct Contest {
    uint64_t best;
    uint32_t arrived;
    uint32_t reserved;
};

// Chooses a token of each sequence. Everything that changes from step to step is in device memory, so that a captured
// launch can be replayed. A row of padding is left alone.
struct Choose {
    const float* logits;      // [m][vp]; numbers from `vocabulary` on are padding and never chosen
    const Choice* choices;    // [m]
    Row* rows;                // [m]: of the tokens that the logits came from; becomes that of the chosen ones
    int32_t* tokens;          // [m]: the chosen tokens
    uint32_t* steps;          // [m]: number of the token to be chosen in its sequence, from 0; goes up by one
    volatile uint32_t* ring;  // host memory: token `step` of sequence s goes to ring[step * ring_stride + first + s]
    Contest* contests;        // [m]
    int32_t m;
    int32_t vp;
    int32_t vocabulary;
    int32_t room;  // positions stay below it
    int32_t first;
    int32_t ring_stride;
};

// The head and the choice in one, of sequences whose every token may be chosen.
struct Head {
    const void* a;   // Real [m][kp], normed
    const void* w;   // blocked as a Product's
    float* logits;   // [m][vp], or nullptr where they are not kept
    int32_t kp;      // a multiple of 64
    int32_t stages;  // of weights under way
    Choose choose;   // whose logits are not read
};
