/**
 * The engine of plain loops: the float64 definitions, for tests and for checking the others. Hours where ONNX Runtime
 * takes seconds.
 */
import { evaluate, memoryNeed } from '../program/index.ts';
import type { Tensor } from '../tensor.ts';
import { checkFeeds, chooseDevice, type Engine, updatedBy } from './engine.ts';

export const plainEngine: Engine = {
  name: 'plain loops',
  async devices() {
    return [{ device: 'cpu', available: true, detail: 'JavaScript, float64, one thread' }];
  },
  memoryEstimate(program) {
    // Everything in float64, twice the size of float32.
    const need = memoryNeed(program);
    return 60e6 + 3 * need.parameters + 2 * (need.activations + need.interface);
  },
  async compile(program, weights, options = {}) {
    const device = chooseDevice(await this.devices(), options.device);
    const state = options.state ?? new Map();
    return {
      device,
      program,
      notices: [],
      async run(feeds) {
        checkFeeds(program, feeds);
        const given = new Map<string, Tensor<'float32'>>();
        for (const [name, { shape, data }] of evaluate(program, new Map([...weights, ...state, ...feeds]))) {
          const updated = updatedBy(name, state);
          if (updated) updated.data.set(data);
          else given.set(name, { dtype: 'float32', shape, data: new Float32Array(data) });
        }
        return given;
      },
      async dispose() {},
    };
  },
};
