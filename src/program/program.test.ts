import { describe, expect, it } from 'vitest';
import { check } from './check.ts';
import {
  add,
  alias,
  buildProgram,
  convolution,
  evaluate,
  foldParameters,
  input,
  matmul,
  multiply,
  parameter,
  print,
  ShapeError,
  scope,
  sqrt,
  tap,
  transposeLast,
  usedParameters,
  withOutputs,
} from './index.ts';

const zeros = { kind: 'constant', value: 0 } as const;

function linear() {
  return buildProgram('linear', () => {
    const x = input('x', [2, 3]);
    return scope('head', () => {
      const weight = parameter('weight', [4, 3], zeros);
      const bias = parameter('bias', [4], zeros);
      const product = tap('product', matmul(x, transposeLast(weight)));
      return { y: add(product, bias) };
    });
  });
}

describe('a program', () => {
  it('prints as text', () => {
    expect(print(linear())).toBe(
      [
        'program linear',
        '  input x: float32[2,3]',
        '  parameter head.weight: float32[4,3]',
        '  parameter head.bias: float32[4]',
        '  %0 = transpose(head.weight) {permutation=[1,0]}: float32[3,4]  # head',
        '  %1 = matmul(x, %0): float32[2,4]  # head',
        '  %2 = add(%1, head.bias): float32[2,4]  # head',
        '  return y = %2',
        '',
      ].join('\n'),
    );
  });

  it('gives a tap when asked, and then computes nothing else', () => {
    const program = withOutputs(linear(), ['head.product']);
    expect(program.operations.map(({ operator }) => operator.name)).toEqual(['transpose', 'matmul']);
    expect(usedParameters(program).map(({ name }) => name)).toEqual(['head.weight']);
    expect(() => withOutputs(program, ['nothing'])).toThrow("no output or tap 'nothing'");
  });

  it('shares a parameter that is declared twice with one shape, and refuses another shape', () => {
    buildProgram('shared', () => {
      const a = parameter('w', [2], zeros);
      expect(parameter('w', [2], zeros)).toBe(a);
      expect(() => parameter('w', [3], zeros)).toThrow('parameter w is declared as 2 and again as 3');
      scope('other', () => alias('v', a));
      return { a };
    });
  });

  it('passes the check, and fails it when an operation is out of order or of a wrong shape', () => {
    const program = linear();
    check(program);
    const reversed = { ...program, operations: [...program.operations].reverse() };
    expect(() => check(reversed)).toThrow('%0 add in head reads a matmul that is not declared before it');
    const [first, ...rest] = program.operations;
    const wrong = { ...program, operations: [{ ...first, shape: [9] }, ...rest] };
    expect(() => check(wrong)).toThrow('%0 transpose in head is recorded as 9, its rule gives 3x4');
  });

  it('is not limited by the depth of the call stack', () => {
    const deep = buildProgram('deep', () => {
      let x = add(input('x', [1]), input('y', [1]));
      for (let i = 0; i < 50_000; i++) x = sqrt(x);
      return { x };
    });
    expect(deep.operations).toHaveLength(50_001);
  });
});

describe('a wrong shape', () => {
  it('throws when it is built, naming operator, scope and both shapes', () => {
    const build = () =>
      buildProgram('wrong', () => {
        const x = input('x', [1, 3, 8, 8]);
        return scope('stem', () =>
          scope('conv', () => ({ y: convolution(x, parameter('weight', [4, 2, 3, 3], zeros), undefined) })),
        );
      });
    expect(build).toThrow(ShapeError);
    expect(build).toThrow(
      'convolution in stem.conv: the input has 3 channels, the weight 4x2x3x3 in 1 groups takes 2 (inputs: 1x3x8x8, 4x2x3x3)',
    );
  });

  it('names the sizes that do not match in a product and in a broadcast', () => {
    buildProgram('wrong', () => {
      const [a, b] = [input('a', [2, 3]), input('b', [4, 5])];
      expect(() => matmul(a, b)).toThrow('matmul: 2x3 has 3 columns but 4x5 has 4 rows (inputs: 2x3, 4x5)');
      expect(() => add(a, b)).toThrow('2x3 and 4x5 do not broadcast: axis 0 has 2 and 4');
      return { a };
    });
  });
});

describe('folding of parameters', () => {
  it('computes what depends on parameters alone and leaves the rest', () => {
    const program = buildProgram('folding', () => {
      const x = input('x', [1, 2]);
      const w = parameter('w', [2, 2], zeros);
      return { y: matmul(x, transposeLast(multiply(w, w))) };
    });
    const weights = new Map([['w', { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } as const]]);
    const folded = foldParameters(program, weights);
    check(folded.program);
    expect(print(folded.program)).toBe(
      'program folding\n  input x: float32[1,2]\n  statistic folded_0: float32[2,2]\n  %0 = matmul(x, folded_0): float32[1,2]\n  return y = %0\n',
    );
    expect([...folded.weights.get('folded_0')!.data]).toEqual([1, 9, 4, 16]);
    const x = { dtype: 'float32', shape: [1, 2], data: Float32Array.of(1, 1) } as const;
    expect([...evaluate(folded.program, new Map([...folded.weights, ['x', x]])).get('y')!.data]).toEqual([5, 25]);
  });
});
