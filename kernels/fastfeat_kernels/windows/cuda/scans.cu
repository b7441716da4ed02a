// Sums of all that stands before each place, of integers of WIDTH words, the lowest word first.
//
// A launch adds up tiles; their sums are scanned in turn, until one tile is left; then each tile
// writes its sums over what it has read. Integers wrap: any order of additions gives the same bits.
// `cuda.text` has this text once for each width.

struct ff_integer_WIDTH {
    u64 word[WIDTH];
};

static __device__ __forceinline__ ff_integer_WIDTH ff_read_WIDTH(const u64* data, i64 at) {
    ff_integer_WIDTH x;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) x.word[k] = data[at * WIDTH + k];
    return x;
}

static __device__ __forceinline__ void ff_write_WIDTH(u64* data, i64 at, ff_integer_WIDTH x) {
#pragma unroll
    for (int k = 0; k < WIDTH; k++) data[at * WIDTH + k] = x.word[k];
}

static __device__ __forceinline__ ff_integer_WIDTH ff_sum_WIDTH(
    ff_integer_WIDTH a, ff_integer_WIDTH b) {
    ff_integer_WIDTH sum;
    u64 carry = 0;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
        const u64 part = a.word[k] + b.word[k];
        sum.word[k] = part + carry;
        carry = (u64)(part < b.word[k]) | (u64)(sum.word[k] < carry);
    }
    return sum;
}

// Writes for each thread the sum of what it and those before it have. All threads of the block
// call it; `held` has a place for each, which nobody reads or writes meanwhile.
static __device__ __forceinline__ void ff_add_up_WIDTH(
    ff_integer_WIDTH* held, ff_integer_WIDTH own) {
    const int me = threadIdx.x;
    held[me] = own;
    __syncthreads();
    for (int by = 1; by < BLOCK; by *= 2) {
        if (me >= by) own = ff_sum_WIDTH(own, held[me - by]);
        __syncthreads();
        held[me] = own;
        __syncthreads();
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK, 2)
scan_totals_WIDTH(const i64* t, i64 first, i64 n) {
    FF_SHARED(ff_integer_WIDTH, held, BLOCK);
    const u64* data = FF_GLOBAL(const u64, t[TABLE_DATA]);
    u64* totals = FF_GLOBAL(u64, t[TABLE_TOTALS]);
    const i64 n_tiles = (n + TILE - 1) / TILE;
    for (i64 tile = blockIdx.x; tile < n_tiles; tile += gridDim.x) {
        ff_integer_WIDTH sum = {};
#pragma unroll 1
        for (int k = 0; k < TILE_ROWS; k++) {
            const i64 at = tile * TILE + k * BLOCK + threadIdx.x;
            if (at < n) sum = ff_sum_WIDTH(sum, ff_read_WIDTH(data, at));
        }
        ff_add_up_WIDTH(held, sum);
        if (threadIdx.x == BLOCK - 1) ff_write_WIDTH(totals, tile, held[BLOCK - 1]);
        __syncthreads();
    }
}

// The sum of all n integers is written behind them.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
scan_tiles_WIDTH(const i64* t, i64 first, i64 n) {
    FF_SHARED(ff_integer_WIDTH, held, BLOCK);
    u64* data = FF_GLOBAL(u64, t[TABLE_DATA]);
    const u64* totals = t[TABLE_TOTALS] ? FF_GLOBAL(const u64, t[TABLE_TOTALS]) : nullptr;
    const i64 n_tiles = (n + TILE - 1) / TILE;
    for (i64 tile = blockIdx.x; tile < n_tiles; tile += gridDim.x) {
        const i64 begin = tile * TILE + (i64)threadIdx.x * TILE_ROWS;
        const i64 end = begin + TILE_ROWS < n ? begin + TILE_ROWS : n;
        ff_integer_WIDTH sum = {};
#pragma unroll 1
        for (i64 at = begin; at < end; at++) sum = ff_sum_WIDTH(sum, ff_read_WIDTH(data, at));
        ff_add_up_WIDTH(held, sum);
        ff_integer_WIDTH before = {};
        if (totals) before = ff_read_WIDTH(totals, tile);
        if (threadIdx.x > 0) before = ff_sum_WIDTH(before, held[threadIdx.x - 1]);
#pragma unroll 1
        for (i64 at = begin; at < end; at++) {
            const ff_integer_WIDTH own = ff_read_WIDTH(data, at);
            ff_write_WIDTH(data, at, before);
            before = ff_sum_WIDTH(before, own);
            if (at == n - 1) ff_write_WIDTH(data, n, before);
        }
        __syncthreads();
    }
}
