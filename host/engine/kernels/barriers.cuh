// Barriers in shared memory that count arrivals and bytes, and memory of other blocks of a cluster. For compute
// capability 9.0 and newer.
#pragma once
#include "shared_memory.cuh"

__device__ __forceinline__ void init_barrier(uint32_t barrier, int count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

// Arrives, and has the barrier wait for so many bytes as well.
__device__ __forceinline__ void expect(uint32_t barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

// Whether the phase of that parity is over; waits a while for it.
__device__ __forceinline__ bool try_wait(uint32_t barrier, uint32_t parity) {
    uint32_t done;
    asm volatile("{\n .reg .pred p;\n mbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n selp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(barrier), "r"(parity)
                 : "memory");
    return done != 0;
}

__device__ __forceinline__ void await_phase(uint64_t* barrier, uint32_t parity) {
    while (!try_wait(shared_address(barrier), parity)) {
    }
}

// racecheck follows what a thread has read only to where this same thread says so, with a fence for the bulk copies
// that overwrite it, and thinks that all else is a race. The kernels that it looks at are compiled so, and have the
// patience that being looked at takes. All others, as CUTLASS's pipelines, have one thread arrive for those that it has
// met at a barrier of threads, which costs less.
#ifdef FOR_RACECHECK
constexpr bool FOR_ALL = false;
constexpr uint64_t PATIENCE = 1'000'000'000'000ull;
#else
constexpr bool FOR_ALL = true;
constexpr uint64_t PATIENCE = 4'000'000'000ull;  // clock ticks, about two seconds
#endif
constexpr uint32_t POLLS = 4096;  // before the clock is looked at

// Of a barrier that `threads` threads arrive at together.
__host__ __device__ constexpr int arrivals_of(int threads) {
    return FOR_ALL ? 1 : threads;
}

// So many threads, of which this is the one numbered `thread`, have met after they read what a bulk copy will
// overwrite.
__device__ __forceinline__ void arrive_together(uint64_t* barrier, int thread, int arrivals = 1) {
    if (!FOR_ALL) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    if (FOR_ALL && thread > 0) return;
    asm volatile("mbarrier.arrive.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// Waits for the first THREADS threads of the block, which call it.
template <int THREADS>
__device__ __forceinline__ void sync_first() {
    asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory");
}

// The same place in the shared memory of another block of the cluster.
__device__ __forceinline__ uint32_t place_in(uint32_t address, int block) {
    uint32_t there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
    return there;
}

// For what is read once: it goes first when the second-level cache needs room.
__device__ __forceinline__ uint64_t evict_first() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

// For what is to stay in the second-level cache until it is read.
__device__ __forceinline__ uint64_t evict_last() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

// Copies into this block's shared memory without waiting, and counts the bytes on the barrier.
__device__ __forceinline__ void copy_bulk(uint32_t to, const void* from, int bytes, uint32_t barrier, uint64_t policy) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], "
        "%4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(barrier), "l"(policy)
        : "memory");
}
