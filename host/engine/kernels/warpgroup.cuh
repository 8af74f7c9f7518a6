// The product of a warpgroup of 128 threads on the tensor cores, both of whose factors lie in shared memory. Only
// compute capability 9.0 has it.
#pragma once
#include "common.cuh"
#include "shared_memory.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
constexpr bool HAS_WARPGROUPS = true;
#else
constexpr bool HAS_WARPGROUPS = false;
#endif

// What a warpgroup's product takes for a factor (the PTX manual's 'matrix descriptor'): blocks of 8 rows by 64 bytes of
// k as place_in_block lays them, which is the tensor cores' swizzle over 64 bytes, `group_bytes` from 8 rows to the
// next 8. The start is aligned to 512 bytes, but for the k within a block.
__device__ __forceinline__ uint64_t shared_factor(uint32_t shared, int group_bytes) {
    constexpr uint64_t SWIZZLE_OVER_64_BYTES = 2;
    return shared / 16 | static_cast<uint64_t>(group_bytes / 16) << 32 | SWIZZLE_OVER_64_BYTES << 62;
}

// What a thread has copied into shared memory may be read by the tensor cores once all threads have met after this.
__device__ __forceinline__ void show_to_tensor_cores() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Before the first product after the sums were touched.
__device__ __forceinline__ void begin_products() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

__device__ __forceinline__ void end_product_group() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

template <int PENDING>
__device__ __forceinline__ void wait_for_product_groups() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
#endif
}

// d[64][N] += a[64][16] * b[N][16]^T, sums in float. Of d, lane 4g + t of warp w holds of 8 columns j the rows 16w + g
// (d[j][0], d[j][1]) and 16w + g + 8 (d[j][2], d[j][3]) at 8j + {2t, 2t+1}. Nothing may touch d until the product's
// group was waited for.
template <typename Real, int N>
struct WarpgroupProduct;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define SUMS(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define SUMS_32 SUMS(0), SUMS(1), SUMS(2), SUMS(3)
#define PLACES_32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define SUMS_64 SUMS(0), SUMS(1), SUMS(2), SUMS(3), SUMS(4), SUMS(5), SUMS(6), SUMS(7)
#define PLACES_64                                           \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15" \
    ", "                                                    \
    "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define SUMS_128                                                                                                  \
    SUMS(0), SUMS(1), SUMS(2), SUMS(3), SUMS(4), SUMS(5), SUMS(6), SUMS(7), SUMS(8), SUMS(9), SUMS(10), SUMS(11), \
        SUMS(12), SUMS(13), SUMS(14), SUMS(15)
#define PLACES_128                                                    \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"           \
    ", "                                                              \
    "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31" \
    ", "                                                              \
    "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47" \
    ", "                                                              \
    "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

#define WARPGROUP_PRODUCT(Real, type, N, A, B)                                                           \
    template <>                                                                                          \
    struct WarpgroupProduct<Real, N> {                                                                   \
        static __device__ __forceinline__ void add(float (&d)[N / 8][4], uint64_t a, uint64_t b) {       \
            asm volatile("{ .reg .pred add; setp.eq.u32 add, 0, 0; wgmma.mma_async.sync.aligned.m64n" #N \
                         "k16.f32." type "." type " {" PLACES_##N "}, " A ", " B ", add, 1, 1, 0, 0; }"  \
                         : SUMS_##N                                                                      \
                         : "l"(a), "l"(b));                                                              \
        }                                                                                                \
    };

WARPGROUP_PRODUCT(half16, "f16", 32, "%16", "%17")
WARPGROUP_PRODUCT(half16, "f16", 64, "%32", "%33")
WARPGROUP_PRODUCT(half16, "f16", 128, "%64", "%65")
WARPGROUP_PRODUCT(bfloat16, "bf16", 32, "%16", "%17")
WARPGROUP_PRODUCT(bfloat16, "bf16", 64, "%32", "%33")
WARPGROUP_PRODUCT(bfloat16, "bf16", 128, "%64", "%65")

#undef WARPGROUP_PRODUCT
#undef SUMS_32
#undef PLACES_32
#undef SUMS_64
#undef PLACES_64
#undef SUMS_128
#undef PLACES_128
#undef SUMS
#endif
