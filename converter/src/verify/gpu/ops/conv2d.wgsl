// Sums of products of four neighbouring pixels by four channels, then one requantization, then the residual.
// Constants of a tile: bias, multiplier and shift of its channels, then a word of four products for each of them.

struct Op {
    pixels: u32, // of an example
    x: Place,
    y: Place,
    residual: Place,
    window: Window,
    words: u32, // of a pixel of the input
    padding: u32, // what a tap outside reads, four times
    tiles: u32, // where the constants of the first tile begin
    tile: u32, // vectors of a tile
    range: Range,
    has_residual: u32,
    multiplier_a: i32,
    multiplier_b: i32,
    bias: i32,
    shift: u32,
    lo: i32,
    hi: i32,
}

// One of the pixels.
struct Pixel {
    example: u32,
    pixel: u32,
    corner: vec2<i32>,
    exists: bool,
}

fn pixel_of(index: u32) -> Pixel {
    let example = index / op.pixels;
    let pixel = index % op.pixels;
    let exists = example < batch.examples && pixel < rows(op.y, example);
    return Pixel(example, pixel, corner(op.window, pixel), exists);
}

// Where the input of a tap begins, or -1.
fn source(p: Pixel, ky: u32, kx: u32) -> i32 {
    let input = under(op.window, p.corner, ky, kx);
    return select(-1, i32(address(op.x, p.example, u32(max(input, 0)))), p.exists && input >= 0);
}

fn products(x: u32, w: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(x, w.x), dot4I8Packed(x, w.y), dot4I8Packed(x, w.z), dot4I8Packed(x, w.w));
}

fn finish(p: Pixel, quad: u32, sums: vec4<i32>, multiplier: vec4<i32>, shift: vec4<u32>) {
    if !p.exists {
        return;
    }
    var v = to_range(op.range, rescale4(sums, multiplier, shift));
    if op.has_residual != 0u {
        let other = load(op.residual, address(op.residual, p.example, p.pixel), quad);
        let sum = v * op.multiplier_a + other * op.multiplier_b + vec4<i32>(op.bias);
        v = clamp(sum >> vec4<u32>(op.shift), vec4<i32>(op.lo), vec4<i32>(op.hi));
    }
    store(op.y, address(op.y, p.example, p.pixel), quad, v);
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let quad = thread.group.y;
    let first = 4u * item(thread);
    let p0 = pixel_of(first);
    let p1 = pixel_of(first + 1u);
    let p2 = pixel_of(first + 2u);
    let p3 = pixel_of(first + 3u);
    if !(p0.exists || p1.exists || p2.exists || p3.exists) {
        return;
    }
    let tile = op.tiles + quad * op.tile;
    let bias = bitcast<vec4<i32>>(constants[tile]);
    var s0 = bias;
    var s1 = bias;
    var s2 = bias;
    var s3 = bias;
    var weights = tile + 3u;
    for (var ky = 0u; ky < op.window.kernel_y; ky++) {
        for (var kx = 0u; kx < op.window.kernel_x; kx++) {
            let at = vec4<i32>(source(p0, ky, kx), source(p1, ky, kx), source(p2, ky, kx), source(p3, ky, kx));
            let inside = at >= vec4<i32>(0);
            let begin = vec4<u32>(max(at, vec4<i32>(0)));
            for (var c = 0u; c < op.words; c++) {
                let w = constants[weights + c];
                s0 += products(select(op.padding, values[begin.x + c], inside.x), w);
                s1 += products(select(op.padding, values[begin.y + c], inside.y), w);
                s2 += products(select(op.padding, values[begin.z + c], inside.z), w);
                s3 += products(select(op.padding, values[begin.w + c], inside.w), w);
            }
            weights += op.words;
        }
    }
    let multiplier = bitcast<vec4<i32>>(constants[tile + 1u]);
    let shift = constants[tile + 2u];
    finish(p0, quad, s0, multiplier, shift);
    finish(p1, quad, s1, multiplier, shift);
    finish(p2, quad, s2, multiplier, shift);
    finish(p3, quad, s3, multiplier, shift);
}
