// A quad of means under a window, from exact sums over the pixels of the image that it holds.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    window: Window,
    zero: i32,
    factors: u32, // pairs of multiplier and shift
    single: u32, // 1 if there is only one pair, else one for each number of pixels
    range: Range,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let first = corner(op.window, q.pixel);
    var sums = vec4<i32>(0);
    var n = 0u;
    for (var ky = 0u; ky < op.window.kernel_y; ky++) {
        for (var kx = 0u; kx < op.window.kernel_x; kx++) {
            let input = under(op.window, first, ky, kx);
            if input >= 0 {
                sums += load(op.x, address(op.x, q.example, u32(input)), q.quad) - vec4<i32>(op.zero);
                n++;
            }
        }
    }
    let factor = op.factors + 2u * select(n - 1u, 0u, op.single == 1u);
    let v = requantize(op.range, sums, bitcast<i32>(constant(factor)), constant(factor + 1u));
    store(op.y, address(op.y, q.example, q.pixel), q.quad, v);
}
