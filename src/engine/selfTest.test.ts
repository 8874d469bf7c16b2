import { describe, expect, it } from 'vitest';
import { tinySettings } from '../../test/bundle.ts';
import { hardmax, noNumber, programOf, wrongSoftmax } from '../../test/planted.ts';
import { InputError, ResourceError } from '../errors.ts';
import { unetrpp } from '../nets/index.ts';
import { foldParameters, lower, noLowerings, operators, type Program } from '../program/index.ts';
import { elementCount, type Tensor } from '../tensor.ts';
import type { Engine } from './engine.ts';
import { nodeEngine } from './node.ts';
import { plainEngine } from './plain.ts';
import { type Load, selfTester } from './selfTest.ts';
import { webEngine } from './web.ts';

const softmax = operators.find(({ name }) => name === 'softmax')!;
const none = new Map<string, Tensor>();

/** An engine's CPU in the role of a GPU: it compiles what it is given, as it is. */
const loadOn =
  (engine: Engine): Load =>
  (program, weights) =>
    engine.compile(program, weights, { lowerings: noLowerings });

/** Whether a program holds an operator. */
const holds = ({ operations }: Program, name: string) => operations.some(({ operator }) => operator.name === name);

describe('right operators pass', () => {
  const program = unetrpp(tinySettings);
  const weights = new Map(
    program.parameters.map(({ name, shape }): [string, Tensor] => {
      const data = new Float32Array(elementCount(shape)).fill(0.5);
      return [name, { dtype: 'float32', shape, data }];
    }),
  );
  const lowered = foldParameters(lower(program, 'webgpu'), weights);

  it.each([nodeEngine, webEngine])('$name: all that UNETR++ uses, as lowered for WebGPU', async (engine) => {
    const executable = await selfTester()(lowered.program, lowered.weights, 'webgpu', 'cpu', loadOn(engine));
    expect(executable.notices).toEqual([]);
    await executable.dispose();
  });
});

describe('a wrong operator', () => {
  const checked = (program: Program) => selfTester()(program, none, 'webgpu', 'wasm', loadOn(nodeEngine));

  it('is named, with the device, the largest difference and what to do', async () => {
    const compiling = checked(programOf(wrongSoftmax));
    await expect(compiling).rejects.toThrow(ResourceError);
    await expect(compiling).rejects.toThrow(
      /The device 'webgpu' computes the operator 'softmax' wrongly: on operands 2x3x8 the largest difference is \d\.\d+ of the largest value, where 0\.0001 is allowed\. Choose another device, such as 'wasm'/,
    );
  });

  it('is found when it gives no number', async () => {
    await expect(checked(programOf(noNumber))).rejects.toThrow(
      "operator 'sqrt' wrongly: on operands 2x3x8 the largest difference is NaN",
    );
  });

  it('is found in a device that is off by a thousandth, not in one that is off by a millionth', async () => {
    const off =
      (by: number): Load =>
      async (program, weights) => {
        const executable = await loadOn(plainEngine)(program, weights, 'deviceOnly');
        return {
          ...executable,
          async run(feeds) {
            const results = await executable.run(feeds);
            for (const { data } of results.values()) data.set(data.map((value) => value * (1 + by)));
            return results;
          },
        };
      };
    const program = programOf(softmax);
    await expect(selfTester()(program, none, 'webgpu', 'wasm', off(1e-3))).rejects.toThrow(
      /wrongly, and also '\w+': on operands 2x3x8 the largest difference is 0.0010 of the largest value/,
    );
    await (await selfTester()(program, none, 'webgpu', 'wasm', off(1e-6))).dispose();
  });

  it('is named when the device cannot run it, with the reason that the runtime gives', async () => {
    const load: Load = async (program, weights, placement) => {
      if (holds(program, 'softmax')) throw new Error('No softmax today.');
      return loadOn(plainEngine)(program, weights, placement);
    };
    await expect(selfTester()(programOf(softmax), none, 'cuda', 'cpu', load)).rejects.toThrow(
      "The device 'cuda' cannot run the operator 'softmax' (operands 2x3x8): No softmax today. Choose another device, such as 'cpu'.",
    );
  });
});

it('a runtime that cannot be started is no fault of an operator', async () => {
  const load: Load = async () => {
    throw new InputError('The runtime could not be started.');
  };
  const compiling = selfTester()(programOf(softmax), none, 'webgpu', 'wasm', load);
  await expect(compiling).rejects.toThrow(new InputError('The runtime could not be started.'));
});

describe('an operator class', () => {
  it('is tested once: what has passed is remembered, for one device', async () => {
    const loaded: string[] = [];
    const load: Load = (program, weights, placement) => {
      loaded.push(program.name);
      return loadOn(plainEngine)(program, weights, placement);
    };
    const check = selfTester();
    await check(programOf(softmax), none, 'webgpu', 'wasm', load);
    await check(programOf(softmax, [2, 7, 16]), none, 'webgpu', 'wasm', load);
    expect(loaded).toEqual(['self-test', 'planted', 'planted']);
    await check(programOf(softmax), none, 'cuda', 'cpu', load);
    expect(loaded.slice(3)).toEqual(['self-test', 'planted']);
  });

  it('that failed is tested again', async () => {
    const check = selfTester();
    for (let attempt = 0; attempt < 2; attempt++) {
      const compiling = check(programOf(wrongSoftmax), none, 'webgpu', 'wasm', loadOn(nodeEngine));
      await expect(compiling).rejects.toThrow("'softmax' wrongly");
    }
  });
});

describe('operators that the CPU computes in place of a GPU', () => {
  /** ONNX Runtime's own words. */
  const refusal =
    'This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.';
  const refusing =
    (refuses: (program: Program) => boolean): Load =>
    async (program, weights, placement) => {
      if (placement === 'deviceOnly' && refuses(program)) throw new Error(refusal);
      return loadOn(plainEngine)(program, weights, placement);
    };

  it('are named in a notice, also when they were tested before', async () => {
    const check = selfTester();
    const load = refusing((program) => holds(program, 'hardmax'));
    for (let attempt = 0; attempt < 2; attempt++) {
      const { notices } = await check(programOf(hardmax), none, 'webgpu', 'wasm', load);
      expect(notices).toEqual([
        "The operators hardmax run on the CPU, for ONNX Runtime has no form of them for 'webgpu'; 'wasm' may be faster.",
      ]);
    }
    expect((await check(programOf(softmax), none, 'webgpu', 'wasm', load)).notices).toEqual([]);
  });

  it('are mentioned when only the whole program shows them', async () => {
    const load = refusing(({ name }) => name === 'planted');
    const { notices } = await selfTester()(programOf(softmax), none, 'webgpu', 'wasm', load);
    expect(notices).toEqual([expect.stringMatching(/^Some operators run on the CPU/)]);
  });

  it('must compute rightly too', async () => {
    const load: Load = async (program, weights, placement) => {
      if (placement === 'deviceOnly' && holds(program, 'softmax')) throw new Error(refusal);
      return loadOn(nodeEngine)(program, weights, placement);
    };
    await expect(selfTester()(programOf(wrongSoftmax), none, 'webgpu', 'wasm', load)).rejects.toThrow(
      "'softmax' wrongly",
    );
  });
});
