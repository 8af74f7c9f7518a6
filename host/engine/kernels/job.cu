// Fetches what a pass over prompts is about out of the host's memory. As a kernel, because it can be part of the pass's
// graph: starting a copy of its own takes the host longer than the copy does.
//
// kernel     threads  dynamic shared bytes
// fetch_job  256      0
#include "common.cuh"
#include "job.h"

namespace {

constexpr int THREADS = 256;

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS) fetch_job(const __grid_constant__ Job job) {
    let_successor_start();
    wait_for_predecessor();
    int64_t word = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    // Past all caches: the host has written there since the last time.
    if (word < job.words) job.to[word] = __ldcv(job.from + word);
}
