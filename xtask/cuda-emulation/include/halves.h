// Types of 16 bits: each operation is computed in float and rounded to nearest.
#pragma once

#include "cuda_runtime.h"

namespace emulation {

struct Binary16 {
    static std::uint16_t round(float x) { return std::bit_cast<std::uint16_t>(static_cast<_Float16>(x)); }
    static float widen(std::uint16_t bits) { return std::bit_cast<_Float16>(bits); }
};

struct Brain16 {
    static std::uint16_t round(float x) {
        const auto bits = std::bit_cast<std::uint32_t>(x);
        if ((bits & 0x7fffffff) > 0x7f800000) return bits >> 16 | 0x40;
        return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
    static float widen(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t(bits) << 16); }
};

template <typename Format>
struct alignas(2) Half {
    std::uint16_t bits;
    Half() = default;
    template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
    Half(T x) : bits(Format::round(static_cast<float>(x))) {}
    operator float() const { return Format::widen(bits); }
    Half operator-() const { return Half(-float(*this)); }
    Half& operator+=(Half y) { return *this = *this + y; }
    Half& operator-=(Half y) { return *this = *this - y; }
    Half& operator*=(Half y) { return *this = *this * y; }
    Half& operator/=(Half y) { return *this = *this / y; }
    friend Half operator+(Half x, Half y) { return Half(float(x) + float(y)); }
    friend Half operator-(Half x, Half y) { return Half(float(x) - float(y)); }
    friend Half operator*(Half x, Half y) { return Half(float(x) * float(y)); }
    friend Half operator/(Half x, Half y) { return Half(float(x) / float(y)); }
    friend bool operator<(Half x, Half y) { return float(x) < float(y); }
    friend bool operator>(Half x, Half y) { return float(x) > float(y); }
    friend bool operator<=(Half x, Half y) { return float(x) <= float(y); }
    friend bool operator>=(Half x, Half y) { return float(x) >= float(y); }
    friend bool operator==(Half x, Half y) { return float(x) == float(y); }
    friend bool operator!=(Half x, Half y) { return float(x) != float(y); }
};

// Two of them.
template <typename Format>
struct alignas(4) Halves {
    Half<Format> x, y;
    Halves() = default;
    Halves(Half<Format> x, Half<Format> y) : x(x), y(y) {}
    template <typename Operation>
    friend Halves each(Halves a, Halves b, Operation operation) {
        return Halves(operation(a.x, b.x), operation(a.y, b.y));
    }
    friend Halves operator+(Halves a, Halves b) { return each(a, b, [](auto a, auto b) { return a + b; }); }
    friend Halves operator-(Halves a, Halves b) { return each(a, b, [](auto a, auto b) { return a - b; }); }
    friend Halves operator*(Halves a, Halves b) { return each(a, b, [](auto a, auto b) { return a * b; }); }
    friend Halves operator/(Halves a, Halves b) { return each(a, b, [](auto a, auto b) { return a / b; }); }
    Halves& operator+=(Halves b) { return *this = *this + b; }
    Halves& operator-=(Halves b) { return *this = *this - b; }
    Halves& operator*=(Halves b) { return *this = *this * b; }
    Halves operator-() const { return Halves(-x, -y); }
};

template <typename F, typename Function>
Half<F> apply(Half<F> x, Function function) { return Half<F>(function(float(x))); }
template <typename F, typename Function>
Halves<F> apply(Halves<F> x, Function function) { return Halves<F>(apply(x.x, function), apply(x.y, function)); }

#define EMULATION_FUNCTION(name, value)                                                            \
    template <typename F>                                                                          \
    Half<F> h##name(Half<F> v) { return apply(v, [](float x) { return value; }); }                 \
    template <typename F>                                                                          \
    Halves<F> h2##name(Halves<F> v) { return apply(v, [](float x) { return value; }); }

EMULATION_FUNCTION(log, std::log(x))
EMULATION_FUNCTION(exp, std::exp(x))
EMULATION_FUNCTION(sin, std::sin(x))
EMULATION_FUNCTION(cos, std::cos(x))
EMULATION_FUNCTION(sqrt, std::sqrt(x))
EMULATION_FUNCTION(rsqrt, 1.0f / std::sqrt(x))
EMULATION_FUNCTION(ceil, std::ceil(x))
EMULATION_FUNCTION(floor, std::floor(x))
EMULATION_FUNCTION(trunc, std::trunc(x))
EMULATION_FUNCTION(rint, std::rint(x))
EMULATION_FUNCTION(rcp, 1.0f / x)
#undef EMULATION_FUNCTION

template <typename F>
Half<F> __hmax(Half<F> a, Half<F> b) { return Half<F>(std::fmax(float(a), float(b))); }
template <typename F>
Half<F> __hmin(Half<F> a, Half<F> b) { return Half<F>(std::fmin(float(a), float(b))); }
template <typename F>
Halves<F> __hmax2(Halves<F> a, Halves<F> b) { return each(a, b, [](auto a, auto b) { return __hmax(a, b); }); }
template <typename F>
Halves<F> __hmin2(Halves<F> a, Halves<F> b) { return each(a, b, [](auto a, auto b) { return __hmin(a, b); }); }
template <typename F>
Half<F> __hfma(Half<F> a, Half<F> b, Half<F> c) { return Half<F>(std::fma(float(a), float(b), float(c))); }
template <typename F>
Halves<F> __hfma2(Halves<F> a, Halves<F> b, Halves<F> c) {
    return Halves<F>(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}
template <typename F>
Half<F> __habs(Half<F> x) { return Half<F>(std::fabs(float(x))); }
template <typename F>
Halves<F> __habs2(Halves<F> x) { return Halves<F>(__habs(x.x), __habs(x.y)); }
template <typename F>
bool __hisnan(Half<F> x) { return std::isnan(float(x)); }
template <typename F>
bool __hisinf(Half<F> x) { return std::isinf(float(x)); }

}  // namespace emulation

// Functions without an argument of a type of 16 bits cannot be found by their arguments.
using __half = emulation::Half<emulation::Binary16>;
using __half2 = emulation::Halves<emulation::Binary16>;
using __nv_bfloat16 = emulation::Half<emulation::Brain16>;
using __nv_bfloat162 = emulation::Halves<emulation::Brain16>;
inline __half __float2half(float x) { return __half(x); }
inline __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
inline float __half2float(__half x) { return x; }
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
