// A quad of an output pixel: sums of products of each channel's own input channel.
// Constants of a quad: bias, multiplier, shift; behind those of all quads, a word of weights for each tap and quad.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    window: Window,
    multiplicity: u32, // output channels of an input channel
    zero: i32, // what a tap outside reads
    channels: u32,
    weights: u32,
    range: Range,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let first = corner(op.window, q.pixel);
    let quads = op.y.pixel;
    let table = op.channels + 3u * q.quad;
    var sums = bitcast<vec4<i32>>(constants[table]);
    for (var ky = 0u; ky < op.window.kernel_y; ky++) {
        for (var kx = 0u; kx < op.window.kernel_x; kx++) {
            let input = under(op.window, first, ky, kx);
            var x = vec4<i32>(op.zero);
            if input >= 0 {
                let at = address(op.x, q.example, u32(input));
                if op.multiplicity == 1u {
                    x = load(op.x, at, q.quad);
                } else {
                    let c = (vec4<u32>(4u * q.quad) + vec4<u32>(0u, 1u, 2u, 3u)) / op.multiplicity;
                    x = vec4<i32>(
                        channel(op.x, at, c.x),
                        channel(op.x, at, c.y),
                        channel(op.x, at, c.z),
                        channel(op.x, at, c.w),
                    );
                }
            }
            let tap = ky * op.window.kernel_x + kx;
            sums += x * unpack4xI8(constant(op.weights + tap * quads + q.quad));
        }
    }
    let v = rescale4(sums, bitcast<vec4<i32>>(constants[table + 1u]), constants[table + 2u]);
    store(op.y, address(op.y, q.example, q.pixel), q.quad, to_range(op.range, v));
}
