// Choosing the next token of each sequence: greedily, by sampling, or by sampling among the most likely tokens.
#include "choose.cuh"
#include "common.cuh"

constexpr int SPREAD_THREADS = 256;
constexpr int RESTRICTED_THREADS = 1024;

__device__ __forceinline__ bool is_ranked(const Choice& choice, int vocabulary) {
    return choice.top_k > 0 && choice.top_k < static_cast<uint32_t>(vocabulary);
}

// Whether the token is to be drawn among some of the tokens only, which is choose_restricted's work.
__device__ __forceinline__ bool is_restricted(const Choice& choice, int vocabulary) {
    return choice.temperature != 0.0f && (is_ranked(choice, vocabulary) || choice.top_p < 1.0f);
}

__device__ __forceinline__ const float4* quads_of(const Choose& p, int s) {
    return reinterpret_cast<const float4*>(p.logits + static_cast<int64_t>(s) * p.vp);
}

template <typename Visit>
__device__ __forceinline__ void visit_quad(float4 quad, int token, int vocabulary, Visit visit) {
    visit(quad.x, token);
    if (token + 1 < vocabulary) visit(quad.y, token + 1);
    if (token + 2 < vocabulary) visit(quad.z, token + 2);
    if (token + 3 < vocabulary) visit(quad.w, token + 3);
}

// The best candidate of a block's threads; every thread gets it. Needs a barrier between two calls.
template <int THREADS>
__device__ __forceinline__ uint64_t block_best(uint64_t mine) {
    __shared__ uint64_t bests[THREADS / 32];
    int lane = threadIdx.x % 32;
    mine = warp_best(mine);
    if (lane == 0) bests[threadIdx.x / 32] = mine;
    __syncthreads();
    return warp_best(lane < THREADS / 32 ? bests[lane] : 0);
}

// Sequences whose every token may be chosen. gridDim.x blocks share the sequence blockIdx.y.
extern "C" __global__ void __launch_bounds__(SPREAD_THREADS) choose_spread(Choose p) {
    let_successor_start();
    wait_for_predecessor();
    int s = blockIdx.y, stride = gridDim.x * SPREAD_THREADS, last = (p.vocabulary - 1) / 4;
    int index = blockIdx.x * SPREAD_THREADS + threadIdx.x;
    const float4* quads = quads_of(p, s);
    // Read before it is known whether the sequence is this kernel's, so that the reads wait together.
    float4 quad = quads[min(index, last)];
    uint32_t step = p.steps[s];
    Choice choice = p.choices[s];
    if (is_restricted(choice, p.vocabulary)) return;

    uint64_t best = 0;
    while (index <= last) {
        visit_quad(quad, index * 4, p.vocabulary, [&](float logit, int token) {
            best = better(best, candidate(perturbed(logit, choice, step, token), token));
        });
        index += stride;
        quad = quads[min(index, last)];
    }
    best = block_best<SPREAD_THREADS>(best);
    if (threadIdx.x > 0) return;
    best = compete(p.contests[s], best);
    if (best > 0) record(p, s, step, best);
}

constexpr int BINS = 256;
// Lanes add to copies of a bin by turns, as most logits fall into few bins of their highest bits.
constexpr int COPIES = 8;

// Sums of 64 bits by digit of the key, in two words: atomics of 64 bits in shared memory are loops. What the lower
// words lose by overflow is added to the higher ones, so that the sums are exact and independent of the order.
struct Histogram {
    uint32_t low[BINS][COPIES];
    uint32_t high[BINS][COPIES];
    uint64_t sums[BINS];
    uint64_t wanted;
    uint32_t bin;
};

__device__ __forceinline__ void add(Histogram& histogram, uint32_t bin, uint64_t weight) {
    int copy = threadIdx.x % COPIES;
    uint32_t low = static_cast<uint32_t>(weight), high = static_cast<uint32_t>(weight >> 32);
    uint32_t before = atomicAdd(&histogram.low[bin][copy], low);
    high += before > ~low;
    if (high > 0) atomicAdd(&histogram.high[bin][copy], high);
}

__device__ __forceinline__ void clear(Histogram& histogram) {
    for (int i = threadIdx.x; i < BINS * COPIES; i += RESTRICTED_THREADS) {
        histogram.low[i / COPIES][i % COPIES] = 0;
        histogram.high[i / COPIES][i % COPIES] = 0;
    }
}

__device__ __forceinline__ void sum_copies(Histogram& histogram) {
    int bin = threadIdx.x;
    if (bin >= BINS) return;
    uint64_t sum = 0;
#pragma unroll
    for (int i = 0; i < COPIES; i++) {
        // Neighbouring threads start with different copies, so that a warp reads from all banks.
        int copy = (i + bin * COPIES / 32) % COPIES;
        sum += (static_cast<uint64_t>(histogram.high[bin][copy]) << 32) + histogram.low[bin][copy];
    }
    histogram.sums[bin] = sum;
}

// Sums over a lane and all lanes before it.
__device__ __forceinline__ uint64_t running_sum(uint64_t own) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
        uint64_t other = __shfl_up_sync(0xffffffffu, own, distance);
        if (lane >= distance) own += other;
    }
    return own;
}

// Finds the bin at which the sum from the highest bin on reaches what is wanted, and what is wanted within the bin. Run
// by the first warp.
template <typename Target>
__device__ __forceinline__ void find_bin(Histogram& histogram, bool first_pass, Target target) {
    constexpr int EACH = BINS / 32;
    int bin = BINS - 1 - static_cast<int>(threadIdx.x) * EACH;
    uint64_t own = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) own += histogram.sums[bin - i];
    uint64_t through = running_sum(own), above = through - own;
    uint64_t total = __shfl_sync(0xffffffffu, through, 31);
    uint64_t wanted = first_pass ? target(total) : histogram.wanted;
    __syncwarp();
    if (above >= wanted || through < wanted) return;
    for (; above + histogram.sums[bin] < wanted; bin--) above += histogram.sums[bin];
    histogram.bin = bin;
    histogram.wanted = wanted - above;
}

template <typename Visit>
__device__ __forceinline__ void each_logit(const Choose& p, int s, Visit visit) {
    const float4* quads = quads_of(p, s);
#pragma unroll 1
    for (int i = threadIdx.x; i * 4 < p.vocabulary; i += RESTRICTED_THREADS) {
        visit_quad(quads[i], i * 4, p.vocabulary, visit);
    }
}

// The largest key at which the weights of all tokens from this key upwards reach target(sum of all weights), by radix
// selection (Alabi, Blanchard, Gordon and Steinbach 2012) from the highest bits down. Every thread gets it.
template <typename Weight, typename Target>
__device__ __forceinline__ uint32_t select(const Choose& p, int s, Histogram& histogram, Weight weight, Target target) {
    uint32_t prefix = 0;
#pragma unroll 1
    for (int shift = 24; shift >= 0; shift -= 8) {
        clear(histogram);
        __syncthreads();
        each_logit(p, s, [&](float logit, int) {
            uint32_t key = order_key(logit);
            if (static_cast<uint64_t>(key ^ prefix) >> (shift + 8) != 0) return;
            uint64_t w = weight(logit, key);
            if (w > 0) add(histogram, key >> shift & (BINS - 1), w);
        });
        __syncthreads();
        sum_copies(histogram);
        __syncthreads();
        if (threadIdx.x < 32) find_bin(histogram, shift == 24, target);
        __syncthreads();
        prefix |= histogram.bin << shift;
    }
    return prefix;
}

// The key of the k-th most likely token (top-k: Fan, Lewis and Dauphin 2018).
__device__ __forceinline__ uint32_t rank_threshold(const Choose& p, int s, Histogram& histogram, uint32_t k) {
    return select(p, s, histogram, [](float, uint32_t) { return uint64_t{1}; }, [=](uint64_t) { return uint64_t{k}; });
}

// Probability in fixed point, relative to that of the most likely token. 2^20 tokens have 2^60 together at most.
constexpr uint64_t ONE = uint64_t{1} << 40;

__device__ __forceinline__ uint64_t mass(float logit, float highest, float temperature) {
    float weight = expf((logit - highest) / temperature);
    return weight > 0.0f ? __float2ull_rn(weight * static_cast<float>(ONE)) : 0;
}

// The key of the last token of the smallest set of the most likely ones, among those from key `lowest` on, that has
// probability top_p (Holtzman, Buys, Du, Forbes and Choi 2020). Equal keys have equal mass in every pass.
__device__ __forceinline__ uint32_t mass_threshold(const Choose& p, int s, Histogram& histogram, const Choice& choice,
                                                   uint32_t lowest) {
    uint64_t best = 0;
    each_logit(p, s, [&](float logit, int token) { best = better(best, candidate(logit, token)); });
    best = block_best<RESTRICTED_THREADS>(best);
    uint32_t highest_key = static_cast<uint32_t>(best >> 32);
    float highest = p.logits[static_cast<int64_t>(s) * p.vp + token_of(best)];
    auto weight = [=](float logit, uint32_t key) {
        // The highest by its key: infinities and NaN have no difference.
        if (key == highest_key) return ONE;
        return key < lowest ? uint64_t{0} : mass(logit, highest, choice.temperature);
    };
    auto target = [=](uint64_t total) {
        uint64_t share = __double2ull_ru(static_cast<double>(total) * choice.top_p);
        return share > 0 ? share : uint64_t{1};
    };
    return select(p, s, histogram, weight, target);
}

// Sequences of which only the most likely tokens may be drawn, one a block.
extern "C" __global__ void __launch_bounds__(RESTRICTED_THREADS) choose_restricted(Choose p) {
    __shared__ Histogram histogram;
    let_successor_start();
    wait_for_predecessor();
    int s = blockIdx.x;
    Choice choice = p.choices[s];
    if (!is_restricted(choice, p.vocabulary)) return;

    uint32_t step = p.steps[s], lowest = 0;
    if (is_ranked(choice, p.vocabulary)) lowest = rank_threshold(p, s, histogram, choice.top_k);
    if (choice.top_p < 1.0f) lowest = mass_threshold(p, s, histogram, choice, lowest);

    uint64_t best = 0;
    each_logit(p, s, [&](float logit, int token) {
        if (order_key(logit) < lowest) return;
        best = better(best, candidate(perturbed(logit, choice, step, token), token));
    });
    best = block_best<RESTRICTED_THREADS>(best);
    if (threadIdx.x == 0) record(p, s, step, best);
}
