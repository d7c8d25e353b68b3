// A quad of the largest values under a window.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    window: Window,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let first = corner(op.window, q.pixel);
    var v = vec4<i32>(-128);
    for (var ky = 0u; ky < op.window.kernel_y; ky++) {
        for (var kx = 0u; kx < op.window.kernel_x; kx++) {
            let input = under(op.window, first, ky, kx);
            if input >= 0 {
                v = max(v, load(op.x, address(op.x, q.example, u32(input)), q.quad));
            }
        }
    }
    store(op.y, address(op.y, q.example, q.pixel), q.quad, v);
}
