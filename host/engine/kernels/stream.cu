// Reads memory as fast as it goes, to know how fast that is. What is read is summed up, and the sum never written: it is of
// zeros, which the compiler does not know.
//
// kernel       threads  dynamic shared bytes
// stream_read  512      0
#include "stream.h"

namespace {

constexpr int THREADS = 512;
// Loads that a thread has under way.
constexpr int LOADS = 8;

__device__ __forceinline__ uint32_t load(const uint4* from) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from));
    return v.x | v.y | v.z | v.w;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS) stream_read(const __grid_constant__ Stream s) {
    const uint4* from = static_cast<const uint4*>(s.from);
    uint64_t stride = static_cast<uint64_t>(gridDim.x) * THREADS;
    uint64_t i = static_cast<uint64_t>(blockIdx.x) * THREADS + threadIdx.x;
    uint32_t sum = 0;
    for (; i + (LOADS - 1) * stride < s.count; i += LOADS * stride) {
#pragma unroll
        for (int n = 0; n < LOADS; ++n) sum |= load(from + i + n * stride);
    }
    for (; i < s.count; i += stride) sum |= load(from + i);
    if (sum != 0) *s.out = sum;
}
