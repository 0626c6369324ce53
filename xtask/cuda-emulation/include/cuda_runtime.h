// CUDA's built-in names for kernels that run on the processor: every thread of a block is a fiber,
// which `driver.cpp` switches at barriers and at exchanges within a warp.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

namespace emulation {

constexpr int WARP = 32;

struct Index {
    unsigned x, y, z;
};

// A warp's place for values that its lanes show each other.
struct Warp {
    const void* shown[WARP];
};

// A thread of a block.
struct Thread {
    Index index;
    int lane;
    Warp* warp;
};

extern "C" {
// Set by the driver before a thread runs.
extern Thread* emulation_thread;
extern Index emulation_block, emulation_block_size, emulation_grid;
// Return when all threads of the block, or of the warp, have called them.
void emulation_sync_block();
void emulation_sync_warp();
}

// Shows `value` to the warp, and returns what `read` makes of the values of all lanes.
template <typename T, typename Read>
auto exchange(const T& value, Read read) {
    Thread* self = emulation_thread;
    self->warp->shown[self->lane] = &value;
    emulation_sync_warp();
    auto result = read([self](int lane) -> const T& {
        return *static_cast<const T*>(self->warp->shown[lane]);
    });
    emulation_sync_warp();
    return result;
}

}  // namespace emulation

using uint3 = emulation::Index;
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define threadIdx (emulation::emulation_thread->index)
#define blockIdx (emulation::emulation_block)
#define blockDim (emulation::emulation_block_size)
#define gridDim (emulation::emulation_grid)
#define warpSize 32

inline void __syncthreads() { emulation::emulation_sync_block(); }
inline void __syncwarp() { emulation::emulation_sync_warp(); }
inline void __threadfence() {}

template <typename T>
T __shfl_sync(int, T value, int source) {
    return emulation::exchange(value, [=](auto lane) { return lane(source & 31); });
}
template <typename T>
T __shfl_xor_sync(int, T value, int mask) {
    const int own = emulation::emulation_thread->lane;
    return emulation::exchange(value, [=](auto lane) { return lane((own ^ mask) & 31); });
}
template <typename T>
T __shfl_up_sync(int, T value, int delta) {
    const int own = emulation::emulation_thread->lane;
    return emulation::exchange(value, [=](auto lane) { return lane(own < delta ? own : own - delta); });
}
template <typename T>
T __shfl_down_sync(int, T value, int delta) {
    const int own = emulation::emulation_thread->lane;
    return emulation::exchange(value, [=](auto lane) { return lane(own + delta > 31 ? own : own + delta); });
}
inline unsigned __ballot_sync(int, bool value) {
    return emulation::exchange(value, [](auto lane) {
        unsigned bits = 0;
        for (int i = 0; i < 32; ++i) bits |= unsigned(lane(i)) << i;
        return bits;
    });
}
inline int __all_sync(int mask, bool value) { return __ballot_sync(mask, value) == ~0u; }
inline int __any_sync(int mask, bool value) { return __ballot_sync(mask, value) != 0; }

// Fibers switch at barriers alone, so that nothing comes between a load and a store.
template <typename T, typename U>
T atomicAdd(T* place, U value) { T old = *place; *place = T(old + value); return old; }
template <typename T, typename U>
T atomicSub(T* place, U value) { T old = *place; *place = T(old - value); return old; }
template <typename T, typename U>
T atomicExch(T* place, U value) { T old = *place; *place = T(value); return old; }
template <typename T, typename U>
T atomicMax(T* place, U value) { T old = *place; if (T(value) > old) *place = T(value); return old; }
template <typename T, typename U>
T atomicMin(T* place, U value) { T old = *place; if (T(value) < old) *place = T(value); return old; }
template <typename T, typename U>
T atomicAnd(T* place, U value) { T old = *place; *place = T(old & value); return old; }
template <typename T, typename U>
T atomicOr(T* place, U value) { T old = *place; *place = T(old | value); return old; }
template <typename T, typename U>
T atomicXor(T* place, U value) { T old = *place; *place = T(old ^ value); return old; }
template <typename T, typename U, typename V>
T atomicCAS(T* place, U expected, V value) {
    T old = *place;
    if (old == T(expected)) *place = T(value);
    return old;
}

using std::abs, std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atanh, std::atan2;
using std::ceil, std::cos, std::cosh, std::erf, std::exp, std::expm1, std::floor, std::fma;
using std::isinf, std::isnan, std::log, std::log1p, std::pow, std::rint, std::sin, std::sinh;
using std::sqrt, std::tan, std::tanh, std::trunc;

template <typename T, typename U>
auto max(T a, U b) {
    using C = std::common_type_t<T, U>;
    if constexpr (std::is_floating_point_v<C>) return C(std::fmax(a, b));
    else return C(a) < C(b) ? C(b) : C(a);
}
template <typename T, typename U>
auto min(T a, U b) {
    using C = std::common_type_t<T, U>;
    if constexpr (std::is_floating_point_v<C>) return C(std::fmin(a, b));
    else return C(b) < C(a) ? C(b) : C(a);
}
inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __logf(float x) { return std::log(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __tanhf(float x) { return std::tanh(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdividef(float x, float y) { return x / y; }
inline float rhypotf(float x, float y) { return 1.0f / std::hypot(x, y); }
inline double rhypot(double x, double y) { return 1.0 / std::hypot(x, y); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(unsigned x) { return std::countl_zero(x); }
inline int __clzll(unsigned long long x) { return std::countl_zero(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int i = 0; i < 32; ++i) result |= (x >> i & 1) << (31 - i);
    return result;
}
inline unsigned __umulhi(unsigned x, unsigned y) { return (std::uint64_t(x) * y) >> 32; }
inline int __mulhi(int x, int y) { return (std::int64_t(x) * y) >> 32; }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return static_cast<unsigned __int128>(x) * y >> 64;
}
inline long long __mul64hi(long long x, long long y) {
    return static_cast<__int128>(x) * y >> 64;
}
