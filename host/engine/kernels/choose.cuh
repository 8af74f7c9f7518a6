// Random numbers of the choice of tokens, which of two tokens is better, and what becomes of the best.
#pragma once
#include "choose.h"

// The finalizer of SplitMix64 (Steele, Lea and Flood, 'Fast splittable pseudorandom number generators', 2014).
__device__ __forceinline__ uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// The high word of what `Stream::new(seed, step).at(token)` gives on the host (core/src/random.rs).
__device__ __forceinline__ uint32_t random_bits(uint64_t seed, uint32_t step, uint32_t token) {
    constexpr uint64_t GOLDEN = 0x9e3779b97f4a7c15u;
    uint64_t stream = mix(mix(seed + GOLDEN) ^ (step * GOLDEN + 1));
    return static_cast<uint32_t>(mix(stream + (token + uint64_t{1}) * GOLDEN) >> 32);
}

// -log(1 - u) for u = (bits + 1/2) / 2^32. The upper half starts from 1 - u, because u itself could round to 1.
__device__ __forceinline__ float exponential(uint32_t bits) {
    constexpr float UNIT = 1.0f / 4294967296.0f;
    if (bits < 0x80000000u) return -log1pf(-(static_cast<float>(bits) + 0.5f) * UNIT);
    return -logf((static_cast<float>(~bits) + 0.5f) * UNIT);
}

// What a token competes with: its logit, or, to be drawn with the probability of the softmax at this temperature, its
// logarithmic time in an exponential race (Efraimidis and Spirakis 2006), also known as the Gumbel-max trick (Maddison,
// Tarlow and Minka 2014).
__device__ __forceinline__ float perturbed(float logit, const Choice& choice, uint32_t step, uint32_t token) {
    if (choice.temperature == 0.0f) return logit;
    return logit / choice.temperature - logf(exponential(random_bits(choice.seed, step, token)));
}

// The key of NaN: above all others, so that a single one is the best and is seen.
constexpr uint32_t NAN_KEY = 0xffffffffu;

// An integer that orders as the number does; both zeros have one.
__device__ __forceinline__ uint32_t order_key(float x) {
    if (x != x) return NAN_KEY;
    if (x == 0.0f) return 0x80000000u;
    uint32_t bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// A token and its number in one integer, the larger the better: the largest number, of equal ones the lowest token. No
// candidate is 0. As the largest of some integers does not depend on their order, neither does the best candidate.
__device__ __forceinline__ uint64_t candidate(float number, uint32_t token) {
    return static_cast<uint64_t>(order_key(number)) << 32 | ~token;
}

__device__ __forceinline__ uint32_t token_of(uint64_t candidate) {
    return ~static_cast<uint32_t>(candidate);
}

__device__ __forceinline__ uint64_t better(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

// Whether a token can be chosen by its logits: none may be NaN. Drawing divides by a sum, for which the best must be finite, too.
__device__ __forceinline__ bool is_choice(uint64_t best, const Choice& choice) {
    uint32_t key = static_cast<uint32_t>(best >> 32);
    if (key == NAN_KEY) return false;
    return choice.temperature == 0.0f || (key != order_key(INFINITY) && key != order_key(-INFINITY));
}

// The best candidate of a warp's lanes; every lane gets it.
__device__ __forceinline__ uint64_t warp_best(uint64_t mine) {
    uint32_t key = static_cast<uint32_t>(mine >> 32);
    uint32_t best_key = __reduce_max_sync(0xffffffffu, key);
    uint32_t rest = __reduce_max_sync(0xffffffffu, key == best_key ? static_cast<uint32_t>(mine) : 0u);
    return static_cast<uint64_t>(best_key) << 32 | rest;
}

// Hands on the chosen token and moves the sequence to its next step. Where there is none it goes on with token 0, until the host ends it.
__device__ __forceinline__ void record(const Choose& p, int s, uint32_t step, uint64_t best) {
    Row row = p.rows[s];
    if (row.sequence < 0) return;
    bool chosen = is_choice(best, p.choices[s]);
    p.ring[static_cast<int64_t>(step) * p.ring_stride + p.first + s] = chosen ? token_of(best) : NO_NUMBER;
    p.tokens[s] = chosen ? static_cast<int32_t>(token_of(best)) : 0;
    p.rows[s].position = min(row.position + 1, p.room - 1);
    p.steps[s] = step + 1;
}

// Enters a block's best candidate. The last of a sequence's blocks gets the best of all, the others 0.
__device__ __forceinline__ uint64_t compete(Contest& contest, uint64_t best) {
    auto* shared_best = reinterpret_cast<unsigned long long*>(&contest.best);
    atomicMax(shared_best, best);
    __threadfence();
    // Wraps to 0 with the last arrival, ready for the next launch.
    if (atomicInc(&contest.arrived, gridDim.x - 1) != gridDim.x - 1) return 0;
    __threadfence();
    return atomicExch(shared_best, 0);
}
