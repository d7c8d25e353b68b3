// A quad of a value in another shape: the same elements in the same order.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    x_channels: u32,
    y_channels: u32,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    var v = vec4<i32>(0);
    for (var i = 0u; i < 4u; i++) {
        let c = 4u * q.quad + i;
        if c < op.y_channels {
            let element = q.pixel * op.y_channels + c;
            let begin = address(op.x, q.example, element / op.x_channels);
            v[i] = channel(op.x, begin, element % op.x_channels);
        }
    }
    store(op.y, address(op.y, q.example, q.pixel), q.quad, v);
}
