// Matrices of a warp. Their elements are spread over the lanes in an order of this emulation's own:
// CUDA leaves the order open too.
#pragma once

#include "halves.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int M, int N, int K, typename T, typename Layout = void>
struct fragment {
    static constexpr int ROWS = std::is_same_v<Use, matrix_b> ? K : M;
    static constexpr int COLUMNS = std::is_same_v<Use, matrix_a> ? K : N;
    static constexpr int num_elements = ROWS * COLUMNS / emulation::WARP;
    T x[num_elements];

    // Element `i` of a lane, by row and column.
    static constexpr int row(int lane, int i) { return (i * emulation::WARP + lane) / COLUMNS; }
    static constexpr int column(int lane, int i) { return (i * emulation::WARP + lane) % COLUMNS; }
    // Lane and place of an element.
    static constexpr int lane(int row, int column) { return (row * COLUMNS + column) % emulation::WARP; }
    static constexpr int place(int row, int column) { return (row * COLUMNS + column) / emulation::WARP; }
};

namespace detail {
template <typename Fragment, typename Visit>
void each(Fragment& fragment, unsigned stride, bool rows, Visit visit) {
    emulation::emulation_sync_warp();
    const int lane = emulation::emulation_thread->lane;
    for (int i = 0; i < Fragment::num_elements; ++i) {
        const std::size_t row = Fragment::row(lane, i), column = Fragment::column(lane, i);
        visit(fragment.x[i], rows ? row * stride + column : column * stride + row);
    }
    emulation::emulation_sync_warp();
}
}  // namespace detail

template <typename Use, int M, int N, int K, typename T, typename Layout, typename U>
void fill_fragment(fragment<Use, M, N, K, T, Layout>& fragment, U value) {
    for (T& x : fragment.x) x = T(value);
}
template <typename Use, int M, int N, int K, typename T, typename Layout, typename U>
void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& fragment, const U* from, unsigned stride) {
    detail::each(fragment, stride, std::is_same_v<Layout, row_major>,
                 [from](T& x, std::size_t i) { x = from[i]; });
}
template <int M, int N, int K, typename T, typename U>
void load_matrix_sync(fragment<accumulator, M, N, K, T>& fragment, const U* from, unsigned stride,
                      layout_t layout) {
    detail::each(fragment, stride, layout == mem_row_major, [from](T& x, std::size_t i) { x = from[i]; });
}
template <int M, int N, int K, typename T, typename U>
void store_matrix_sync(U* to, const fragment<accumulator, M, N, K, T>& fragment, unsigned stride,
                       layout_t layout) {
    detail::each(fragment, stride, layout == mem_row_major, [to](const T& x, std::size_t i) { to[i] = x; });
}

template <int M, int N, int K, typename T, typename A, typename B, typename C>
void mma_sync(fragment<accumulator, M, N, K, C>& out, const fragment<matrix_a, M, N, K, T, A>& a,
              const fragment<matrix_b, M, N, K, T, B>& b, const fragment<accumulator, M, N, K, C>& add) {
    using FragmentA = fragment<matrix_a, M, N, K, T, A>;
    using FragmentB = fragment<matrix_b, M, N, K, T, B>;
    using Sum = fragment<accumulator, M, N, K, C>;
    struct Operands {
        const FragmentA* a;
        const FragmentB* b;
    };
    Sum sum = add;
    const int own = emulation::emulation_thread->lane;
    emulation::exchange(Operands{&a, &b}, [&](auto lane) {
        for (int i = 0; i < Sum::num_elements; ++i) {
            const int row = Sum::row(own, i), column = Sum::column(own, i);
            float value = sum.x[i];
            for (int k = 0; k < K; ++k) {
                const float x = lane(FragmentA::lane(row, k)).a->x[FragmentA::place(row, k)];
                const float y = lane(FragmentB::lane(k, column)).b->x[FragmentB::place(k, column)];
                value += x * y;
            }
            sum.x[i] = C(value);
        }
        return 0;
    });
    out = sum;
}

}  // namespace nvcuda::wmma
