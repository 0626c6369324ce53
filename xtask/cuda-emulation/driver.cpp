// The part of CUDA's driver and run-time compiler that cubecl calls, on the processor: kernels are
// compiled as C++ and run block after block. For tests where there is no GPU; times mean nothing.

#include <dlfcn.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "include/cuda_runtime.h"

using emulation::Index;
using emulation::Thread;
using emulation::WARP;
using emulation::Warp;

namespace {

constexpr std::size_t STACK = 256 << 10;
constexpr unsigned MOST_THREADS = 1024;
// Of compute capability 7.0: the first with tensor cores, by whose language later ones do as well.
constexpr int CAPABILITY_MAJOR = 7, CAPABILITY_MINOR = 0;
constexpr int SHARED_MEMORY = 96 << 10;

enum Status { SUCCESS = 0, INVALID = 1, NOT_FOUND = 500, FAILED = 719 };

enum class State { READY, AT_WARP, AT_BLOCK, ENDED };

// What a kernel's module offers.
struct Kernel {
    void (*run)(void** arguments);
    bool exchanges;
};

struct Fiber {
    Thread thread;
    State state;
    ucontext_t start;
    jmp_buf place;
    bool begun;
};

std::mutex one_launch;
jmp_buf scheduler;
Fiber* current = nullptr;
std::vector<Fiber> fibers(MOST_THREADS);
std::vector<Warp> warps(MOST_THREADS / WARP);
char* stacks = nullptr;
const Kernel* running = nullptr;
void** running_arguments = nullptr;

void fail(const char* what) {
    std::fprintf(stderr, "emulated CUDA: %s\n", what);
    std::abort();
}

void wait(State state) {
    current->state = state;
    if (!running->exchanges) fail("a barrier in a kernel without one");
    if (!_setjmp(current->place)) _longjmp(scheduler, 1);
}

void begin() {
    running->run(running_arguments);
    current->state = State::ENDED;
    _longjmp(scheduler, 1);
}

[[gnu::noinline]] void prepare(Fiber& fiber, char* stack) {
    getcontext(&fiber.start);
    fiber.start.uc_stack = {stack, 0, STACK};
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, begin, 0);
}

// Runs a thread to its next barrier or its end.
[[gnu::noinline]] void resume(Fiber& fiber) {
    current = &fiber;
    emulation::emulation_thread = &fiber.thread;
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.start);
}

// Runs the threads of a warp until all are at a barrier of the block or at their end.
void run_warp(Fiber* lanes, unsigned count) {
    while (true) {
        unsigned at_warp = 0, at_block = 0;
        for (unsigned i = 0; i < count; ++i) {
            Fiber& lane = lanes[i];
            if (lane.state == State::READY) resume(lane);
            at_warp += lane.state == State::AT_WARP;
            at_block += lane.state == State::AT_BLOCK;
        }
        if (at_warp == 0) return;
        if (at_block != 0) fail("lanes of a warp wait for different barriers");
        for (unsigned i = 0; i < count; ++i) {
            if (lanes[i].state == State::AT_WARP) lanes[i].state = State::READY;
        }
    }
}

void run_block(unsigned threads) {
    const Index size = emulation::emulation_block_size;
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        fiber.thread.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        fiber.thread.lane = i % WARP;
        fiber.thread.warp = &warps[i / WARP];
        fiber.state = State::READY;
        fiber.begun = false;
        if (!running->exchanges) {
            emulation::emulation_thread = &fiber.thread;
            running->run(running_arguments);
            continue;
        }
        prepare(fiber, stacks + i * STACK);
    }
    if (!running->exchanges) return;
    while (true) {
        unsigned waiting = 0, ended = 0;
        for (unsigned first = 0; first < threads; first += WARP) {
            run_warp(&fibers[first], std::min<unsigned>(WARP, threads - first));
        }
        for (unsigned i = 0; i < threads; ++i) {
            waiting += fibers[i].state == State::AT_BLOCK;
            ended += fibers[i].state == State::ENDED;
        }
        if (waiting == 0) return;
        // On a GPU, threads that have ended are not waited for; kernels should not rely on it.
        if (ended != 0) fail("threads have ended while others wait for them");
        for (unsigned i = 0; i < threads; ++i) fibers[i].state = State::READY;
    }
}

// A compilation's source and what came of it.
struct Program {
    std::string source, log, library;
};

// Folder of this library, in which the kernels' headers are too.
std::filesystem::path own_folder() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(&fail), &info)) fail("the library does not know its own path");
    return std::filesystem::path(info.dli_fname).parent_path();
}

const char* compiler() {
    const char* given = std::getenv("CXX");
    return given ? given : "c++";
}

// Folder of compiled kernels.
std::filesystem::path folder() {
    if (const char* given = std::getenv("CUDA_EMULATION_KERNELS")) return given;
    return std::filesystem::temp_directory_path() / "cuda-emulation";
}

// A path as one word of a command.
std::string word(const std::filesystem::path& path) { return '"' + path.string() + '"'; }

// Start of each command that compiles; headers are looked for compiled first.
std::string compilation() {
    return std::string(compiler()) + " -std=c++20 -fPIC -O1 -march=native -ffp-contract=off -w -I"
        + word(folder()) + " -I" + word(own_folder() / "include") + ' ';
}

// Compiles the header that all kernels have, once for a folder.
bool compile_header() {
    namespace fs = std::filesystem;
    const fs::path made = folder() / "kernel.h.gch", own = made.string() + std::to_string(getpid());
    if (fs::exists(made)) return true;
    const auto header = word(own_folder() / "include/kernel.h");
    const auto command = compilation() + "-x c++-header " + header + " -o " + word(own);
    if (std::system(command.c_str()) != 0) return false;
    fs::rename(own, made);
    return true;
}

// Name of the source's kernel, and whether its threads wait for each other.
std::pair<std::string, bool> describe(const std::string& source) {
    const std::string bounds = "__launch_bounds__(";
    const auto start = source.find(')', source.find(bounds)) + 1;
    auto name = source.substr(start, source.find('(', start) - start);
    name.erase(0, name.find_first_not_of(" \n"));
    name.erase(name.find_last_not_of(" \n") + 1);
    const bool exchanges = source.find("__sync") != source.npos || source.find("_sync(") != source.npos;
    return {name, exchanges};
}

// Compiles the source, unless that has been done.
bool compile(Program& program) {
    namespace fs = std::filesystem;
    fs::create_directories(folder());
    const auto hash = std::to_string(std::hash<std::string>{}(program.source));
    const fs::path library = folder() / (hash + ".so");
    program.library = library;
    if (fs::exists(library)) return true;
    if (!compile_header()) {
        program.log = "kernel.h does not compile";
        return false;
    }
    const auto own = hash + "-" + std::to_string(getpid());
    const fs::path source = folder() / (own + ".cpp"), log = folder() / (own + ".log");
    const fs::path made = folder() / (own + ".so");
    const auto [name, exchanges] = describe(program.source);
    std::ofstream(source) << "#include \"kernel.h\"\n" << program.source << "\nEMULATION_KERNEL(" << name
                          << ", " << exchanges << ")\n";
    const auto command = compilation() + "-shared " + word(source) + " -o " + word(made) + " -L"
        + word(own_folder()) + " -lcuda 2> " + word(log);
    if (std::system(command.c_str()) != 0) {
        std::ifstream file(log);
        program.log.assign(std::istreambuf_iterator<char>(file), {});
        return false;
    }
    fs::remove(log);
    fs::remove(source);
    fs::rename(made, library);
    return true;
}

}  // namespace

namespace emulation {
extern "C" {
Thread* emulation_thread = nullptr;
Index emulation_block, emulation_block_size, emulation_grid;
void emulation_sync_block() { wait(State::AT_BLOCK); }
void emulation_sync_warp() { wait(State::AT_WARP); }
}
}  // namespace emulation

alignas(1024) unsigned char dynamic_shared_mem[SHARED_MEMORY];

// CUDA's driver.

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;

// A copy of rows, as cuda.h has it.
struct CUDA_MEMCPY2D {
    std::size_t src_x, src_y;
    int src_type;
    const void* src_host;
    CUdeviceptr src_device;
    void* src_array;
    std::size_t src_pitch, dst_x, dst_y;
    int dst_type;
    void* dst_host;
    CUdeviceptr dst_device;
    void* dst_array;
    std::size_t dst_pitch, width, height;
};

extern "C" {

CUresult cuInit(unsigned) { return SUCCESS; }
CUresult cuDriverGetVersion(int* version) { *version = 12000; return SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int index) { *device = index; return index == 0 ? SUCCESS : INVALID; }
CUresult cuDeviceGetCount(int* count) { *count = 1; return SUCCESS; }
CUresult cuDeviceGetName(char* name, int size, CUdevice) {
    std::snprintf(name, size, "emulated on the processor");
    return SUCCESS;
}
CUresult cuDeviceTotalMem_v2(std::size_t* bytes, CUdevice) { *bytes = 8ull << 30; return SUCCESS; }
CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice) {
    switch (attribute) {
        case 1: *value = MOST_THREADS; break;              // MAX_THREADS_PER_BLOCK
        case 2: case 3: *value = 1024; break;              // MAX_BLOCK_DIM_X, _Y
        case 4: *value = 64; break;                        // MAX_BLOCK_DIM_Z
        case 5: *value = 2147483647; break;                // MAX_GRID_DIM_X
        case 6: case 7: *value = 65535; break;             // MAX_GRID_DIM_Y, _Z
        case 8: case 97: *value = SHARED_MEMORY; break;    // MAX_SHARED_MEMORY_PER_BLOCK, _OPTIN
        case 10: *value = WARP; break;                     // WARP_SIZE
        case 16: *value = 4; break;                        // MULTIPROCESSOR_COUNT
        case 75: *value = CAPABILITY_MAJOR; break;         // COMPUTE_CAPABILITY_MAJOR
        case 76: *value = CAPABILITY_MINOR; break;         // COMPUTE_CAPABILITY_MINOR
        default: *value = 0;
    }
    return SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(void** context, CUdevice) { *context = &one_launch; return SUCCESS; }
CUresult cuCtxSetCurrent(void*) { return SUCCESS; }
CUresult cuGetErrorName(CUresult, const char** name) { *name = "emulated CUDA"; return SUCCESS; }
CUresult cuGetErrorString(CUresult, const char** text) { *text = "error of emulated CUDA"; return SUCCESS; }

// Everything is done when a call returns, in the order of the calls.
CUresult cuStreamCreate(void** stream, unsigned) { *stream = &one_launch; return SUCCESS; }
CUresult cuStreamDestroy_v2(void*) { return SUCCESS; }
CUresult cuStreamSynchronize(void*) { return SUCCESS; }
CUresult cuStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }
CUresult cuEventCreate(void** event, unsigned) { *event = &one_launch; return SUCCESS; }
CUresult cuEventRecord(void*, void*) { return SUCCESS; }
CUresult cuEventSynchronize(void*) { return SUCCESS; }
CUresult cuEventDestroy_v2(void*) { return SUCCESS; }

// Fresh memory holds no zeros, as on a GPU: NaN in every type.
CUresult cuMemAlloc_v2(CUdeviceptr* place, std::size_t bytes) {
    void* memory = std::aligned_alloc(512, (bytes + 511) / 512 * 512);
    if (!memory) return 2;
    std::memset(memory, 0xff, bytes);
    *place = reinterpret_cast<CUdeviceptr>(memory);
    return SUCCESS;
}
CUresult cuMemAllocAsync(CUdeviceptr* place, std::size_t bytes, void*) { return cuMemAlloc_v2(place, bytes); }
CUresult cuMemFree_v2(CUdeviceptr place) { std::free(reinterpret_cast<void*>(place)); return SUCCESS; }
CUresult cuMemFreeAsync(CUdeviceptr place, void*) { return cuMemFree_v2(place); }
CUresult cuMemAllocHost_v2(void** place, std::size_t bytes) { *place = std::malloc(bytes); return SUCCESS; }
CUresult cuMemFreeHost(void* place) { std::free(place); return SUCCESS; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, std::size_t bytes, void*) {
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, std::size_t bytes, void*) {
    std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return SUCCESS;
}
CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, void*) {
    const int host = 1;
    const char* from = copy->src_type == host ? static_cast<const char*>(copy->src_host)
                                              : reinterpret_cast<const char*>(copy->src_device);
    char* to = copy->dst_type == host ? static_cast<char*>(copy->dst_host)
                                      : reinterpret_cast<char*>(copy->dst_device);
    from += copy->src_y * copy->src_pitch + copy->src_x;
    to += copy->dst_y * copy->dst_pitch + copy->dst_x;
    for (std::size_t row = 0; row < copy->height; ++row) {
        std::memcpy(to + row * copy->dst_pitch, from + row * copy->src_pitch, copy->width);
    }
    return SUCCESS;
}

CUresult cuModuleLoadData(void** module, const void* image) {
    *module = dlopen(static_cast<const char*>(image), RTLD_NOW | RTLD_LOCAL);
    if (!*module) std::fprintf(stderr, "emulated CUDA: %s\n", dlerror());
    return *module ? SUCCESS : INVALID;
}
CUresult cuModuleGetFunction(void** function, void* module, const char*) {
    auto run = reinterpret_cast<void (*)(void**)>(dlsym(module, "emulation_run"));
    auto exchanges = static_cast<const bool*>(dlsym(module, "emulation_exchanges"));
    if (!run || !exchanges) return NOT_FOUND;
    *function = new Kernel{run, *exchanges};
    return SUCCESS;
}
CUresult cuFuncSetAttribute(void*, int, int value) { return value <= SHARED_MEMORY ? SUCCESS : INVALID; }
CUresult cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, void*, void** arguments, void**) {
    const unsigned threads = block_x * block_y * block_z;
    if (threads == 0 || threads > MOST_THREADS || shared > SHARED_MEMORY) return INVALID;
    std::lock_guard lock(one_launch);
    if (!stacks) {
        stacks = static_cast<char*>(mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (stacks == MAP_FAILED) fail("no memory for stacks");
    }
    running = static_cast<const Kernel*>(function);
    running_arguments = arguments;
    emulation::emulation_block_size = {block_x, block_y, block_z};
    emulation::emulation_grid = {grid_x, grid_y, grid_z};
    for (unsigned z = 0; z < grid_z; ++z) {
        for (unsigned y = 0; y < grid_y; ++y) {
            for (unsigned x = 0; x < grid_x; ++x) {
                emulation::emulation_block = {x, y, z};
                // Shared memory starts with what was there.
                std::memset(dynamic_shared_mem, 0xff, shared);
                run_block(threads);
            }
        }
    }
    return SUCCESS;
}

// CUDA's run-time compiler; a module's image is the path of its library.

int nvrtcCreateProgram(Program** program, const char* source, const char*, int, const char* const*,
                       const char* const*) {
    *program = new Program{source, {}, {}};
    return SUCCESS;
}
int nvrtcCompileProgram(Program* program, int, const char* const*) { return compile(*program) ? 0 : 6; }
int nvrtcGetProgramLogSize(Program* program, std::size_t* size) { *size = program->log.size() + 1; return 0; }
int nvrtcGetProgramLog(Program* program, char* log) { std::strcpy(log, program->log.c_str()); return 0; }
int nvrtcGetPTXSize(Program* program, std::size_t* size) { *size = program->library.size() + 1; return 0; }
int nvrtcGetPTX(Program* program, char* image) { std::strcpy(image, program->library.c_str()); return 0; }
int nvrtcDestroyProgram(Program** program) { delete *program; *program = nullptr; return 0; }
const char* nvrtcGetErrorString(int) { return "error of emulated CUDA"; }

}
