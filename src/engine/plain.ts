/**
 * The engine of plain loops: the float64 definitions, for tests and for checking the others. Hours where ONNX Runtime
 * takes seconds.
 */
import { evaluate, memoryNeed } from '../program/index.ts';
import { checkFeeds, chooseDevice, type Engine } from './engine.ts';

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
    return {
      device,
      program,
      notices: [],
      async run(feeds) {
        checkFeeds(program, feeds);
        const results = evaluate(program, new Map([...weights, ...feeds]));
        return new Map(
          [...results].map(([name, { shape, data }]) => [
            name,
            { dtype: 'float32', shape, data: new Float32Array(data) },
          ]),
        );
      },
      async dispose() {},
    };
  },
};
