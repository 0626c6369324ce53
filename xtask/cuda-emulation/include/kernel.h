// A kernel's entry for `driver.cpp`.
#pragma once

#include "cuda_runtime.h"

#include <utility>

namespace emulation {

// Calls a kernel with arguments that are pointed to, as the driver is given them.
template <typename... Arguments>
void call(void (*kernel)(Arguments...), void** arguments) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_cvref_t<Arguments>*>(arguments[I])...);
    }(std::index_sequence_for<Arguments...>{});
}

}  // namespace emulation

#define EMULATION_KERNEL(name, exchanging)                                                         \
    extern "C" void emulation_run(void** arguments) { emulation::call(name, arguments); }          \
    extern "C" const bool emulation_exchanges = exchanging;
