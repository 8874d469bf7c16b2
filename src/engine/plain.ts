/**
 * The engine of plain loops: the float64 definitions, for tests and for checking the others. Hours where ONNX Runtime
 * takes seconds.
 */
import { evaluate } from '../program/evaluate.ts';
import { checkFeeds, chooseDevice, type Engine } from './engine.ts';

export const plainEngine: Engine = {
  name: 'plain loops',
  async devices() {
    return [{ device: 'cpu', available: true, detail: 'JavaScript, float64, one thread' }];
  },
  async compile(program, weights, options = {}) {
    const device = chooseDevice(await this.devices(), options.device);
    return {
      device,
      program,
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
