// Shared memory: its addresses, copies into it that don't wait, and blocks of it that the tensor cores read.
#pragma once
#include <stdint.h>

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Zeros where nothing is present.
__device__ __forceinline__ void copy_16_bytes(uint32_t target, const void* source, bool present) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source), "r"(present ? 16 : 0)
                 : "memory");
}

__device__ __forceinline__ void end_copy_group() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int PENDING>
__device__ __forceinline__ void wait_for_copy_groups() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Tiles lie in blocks of 8 rows by 64 bytes.
constexpr int BLOCK_ROWS = 8;
constexpr int BLOCK_WIDTH = 64;  // bytes
constexpr int BLOCK_BYTES = BLOCK_ROWS * BLOCK_WIDTH;

// Where in a block the chunk of a row lies: such that 8 rows' chunks of one column lie in different banks.
__device__ __forceinline__ int place_in_block(int row, int chunk) {
    return row * BLOCK_WIDTH + (chunk ^ row / 2) * 16;
}

// Four matrices of 8 rows by 16 bytes: lane 8i + r has the address of row r of matrix i, and lane 4g + t gets the t-th
// 4 bytes of row g of each.
__device__ __forceinline__ uint4 load_matrices(uint32_t shared) {
    uint4 x;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(shared)
                 : "memory");
    return x;
}
