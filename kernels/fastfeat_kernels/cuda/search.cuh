// Where a time stands among times in order.

#define LOWEST (-0x7fffffffffffffffLL - 1)

// The first place in [low, high) whose time is not below the limit, or is above it.
static __device__ __forceinline__ i64 ff_search(
    const i64* times, i64 low, i64 high, i64 limit, bool above) {
    while (low < high) {
        const i64 middle = low + (high - low) / 2;
        if (above ? times[middle] <= limit : times[middle] < limit) low = middle + 1;
        else high = middle;
    }
    return low;
}
