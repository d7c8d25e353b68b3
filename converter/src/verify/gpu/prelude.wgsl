// What all shaders share: where values lie, four numbers at a time, and the integer contract in steps of 32 bits.
// Each shader adds its own `struct Op`, and computes one quad (four neighbouring channels), tile or row in an invocation.

// A value: one for each example, each a row of pixels, each a whole number of quads.
struct Place {
    offset: u32, // words of the values before it, of one example
    words: u32,  // words of one example
    pixel: u32,  // words of a pixel; 0 if all pixels are the same
    wide: u32,   // 1 for numbers of 16 bits, two words a quad; 0 for 8 bits, one word a quad
    rows: u32,   // pixels of each example, or 0 for a sequence, which has one for each token
}

struct Batch {
    examples: u32,
    capacity: u32,
    lengths: array<u32>,
}

@group(0) @binding(0) var<storage, read_write> values: array<u32>;
@group(0) @binding(1) var<storage, read> constants: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch: Batch;
@group(0) @binding(3) var<storage, read> op: Op;

struct Thread {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
}

// The number of an invocation in its tile; tiles are the second dimension of a dispatch.
fn item(thread: Thread) -> u32 {
    return (thread.group.z * thread.groups.x + thread.group.x) * 64u + thread.lane;
}

// Rows that an example has of a value.
fn rows(place: Place, example: u32) -> u32 {
    return select(place.rows, batch.lengths[example], place.rows == 0u);
}

// The first word of a pixel.
fn address(place: Place, example: u32, pixel: u32) -> u32 {
    return place.offset * batch.capacity + example * place.words + pixel * place.pixel;
}

// What an invocation makes: a quad of a pixel of an example.
struct Quad {
    example: u32,
    pixel: u32,
    quad: u32,
    exists: bool,
}

// The quad of an invocation, if the value has so many.
fn quad_of(thread: Thread, place: Place, pixels: u32) -> Quad {
    let quads = place.pixel >> place.wide;
    let index = item(thread);
    let example = index / (pixels * quads);
    let rest = index % (pixels * quads);
    let pixel = rest / quads;
    return Quad(example, pixel, rest % quads, example < batch.examples && pixel < rows(place, example));
}

// What an invocation makes: a pixel of an example.
struct Row {
    example: u32,
    pixel: u32,
    exists: bool,
}

// The pixel of an invocation, if the value has so many.
fn row_of(thread: Thread, place: Place, pixels: u32) -> Row {
    let example = item(thread) / pixels;
    let pixel = item(thread) % pixels;
    return Row(example, pixel, example < batch.examples && pixel < rows(place, example));
}

// Four numbers of the pixel at `at`.
fn load(place: Place, at: u32, quad: u32) -> vec4<i32> {
    if place.wide == 0u {
        return unpack4xI8(values[at + quad]);
    }
    let pair = vec2<i32>(bitcast<i32>(values[at + 2u * quad]), bitcast<i32>(values[at + 2u * quad + 1u]));
    return vec4<i32>((pair.x << 16u) >> 16u, pair.x >> 16u, (pair.y << 16u) >> 16u, pair.y >> 16u);
}

// Four numbers of a value that, if it is `single`, is one number for all channels.
fn load_repeated(place: Place, q: Quad, single: u32) -> vec4<i32> {
    let one = single == 1u;
    let v = load(place, address(place, q.example, q.pixel), select(q.quad, 0u, one));
    return select(v, v.xxxx, one);
}

// Puts four numbers, which the value can hold, into the pixel at `at`.
fn store(place: Place, at: u32, quad: u32, v: vec4<i32>) {
    if place.wide == 0u {
        values[at + quad] = pack4xI8(v);
    } else {
        let u = bitcast<vec4<u32>>(v) & vec4<u32>(0xffffu);
        values[at + 2u * quad] = u.x | (u.y << 16u);
        values[at + 2u * quad + 1u] = u.z | (u.w << 16u);
    }
}

// One number of the pixel at `at`.
fn channel(place: Place, at: u32, c: u32) -> i32 {
    if place.wide == 0u {
        return bitcast<i32>(values[at + c / 4u] << (24u - 8u * (c % 4u))) >> 24u;
    }
    return bitcast<i32>(values[at + c / 2u] << (16u - 16u * (c % 2u))) >> 16u;
}

// Limits numbers to what the value can hold.
fn saturate_to(place: Place, v: vec4<i32>) -> vec4<i32> {
    let most = select(127, 32767, place.wide == 1u);
    let least = select(-128, -32767, place.wide == 1u);
    return clamp(v, vec4<i32>(least), vec4<i32>(most));
}

// A word of the constants.
fn constant(i: u32) -> u32 {
    return constants[i / 4u][i % 4u];
}

// The product of two numbers in 64 bits: lower half, upper half.
fn product(a: u32, b: u32) -> vec2<u32> {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let low = al * bl;
    let first = ah * bl + (low >> 16u); // at most (2^16 - 1)^2 + 2^16 - 1
    let second = al * bh + (first & 0xffffu);
    return vec2<u32>(a * b, ah * bh + (first >> 16u) + (second >> 16u));
}

// The upper half of the product of two numbers with signs.
fn high(a: i32, b: i32) -> i32 {
    let u = product(bitcast<u32>(a), bitcast<u32>(b)).y;
    return bitcast<i32>(u) - select(0, b, a < 0) - select(0, a, b < 0);
}

// `acc * multiplier * 2^(left - 32 - right)`, rounded once; a shift byte holds `right` and 32 times `left`.
fn rescale(acc: i32, multiplier: i32, shift: u32) -> i32 {
    let right = shift & 31u;
    return (high(acc << (shift >> 5u), multiplier) + (1i << (right - 1u))) >> right;
}

fn rescale4(acc: vec4<i32>, multiplier: vec4<i32>, shift: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        rescale(acc.x, multiplier.x, shift.x),
        rescale(acc.y, multiplier.y, shift.y),
        rescale(acc.z, multiplier.z, shift.z),
        rescale(acc.w, multiplier.w, shift.w),
    );
}

// Zero point and clamp of a result.
struct Range {
    zero: i32,
    lo: i32,
    hi: i32,
}

// Bytes of rescaled sums.
fn to_range(range: Range, v: vec4<i32>) -> vec4<i32> {
    return clamp(v + vec4<i32>(range.zero), vec4<i32>(range.lo), vec4<i32>(range.hi));
}

// Bytes of sums with one multiplier and one shift.
fn requantize(range: Range, acc: vec4<i32>, multiplier: i32, shift: u32) -> vec4<i32> {
    return to_range(range, rescale4(acc, vec4<i32>(multiplier), vec4<u32>(shift)));
}

// `n / d` in 64 bits, for a divisor below 2^31.
fn divide(n: vec2<u32>, d: u32) -> vec2<u32> {
    var low = 0u;
    var rest = n.y % d;
    for (var bit = 32u; bit > 0u; bit--) {
        rest = (rest << 1u) | ((n.x >> (bit - 1u)) & 1u);
        low = low << 1u;
        if rest >= d {
            rest -= d;
            low |= 1u;
        }
    }
    return vec2<u32>(low, n.y / d);
}

// `a + b` in 64 bits.
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

// `a - b` in 64 bits.
fn sub64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

// `v * 2^shift` in 64 bits, for a shift below 64.
fn left64(v: vec2<u32>, shift: u32) -> vec2<u32> {
    if shift == 0u {
        return v;
    }
    if shift >= 32u {
        return vec2<u32>(0u, v.x << (shift - 32u));
    }
    return vec2<u32>(v.x << shift, (v.y << shift) | (v.x >> (32u - shift)));
}

// Leading zeros in 64 bits.
fn zeros64(v: vec2<u32>) -> u32 {
    return select(countLeadingZeros(v.y), 32u + countLeadingZeros(v.x), v.y == 0u);
}
