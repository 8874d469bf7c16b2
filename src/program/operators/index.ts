/**
 * All operators. The list is what tests walk through: every operator here is compared with its plain loops on each engine.
 */
import type { Operator } from '../operator.ts';
import * as arithmetic from './arithmetic.ts';
import * as broadcast from './broadcast.ts';
import * as convolution from './convolution.ts';
import * as matmul from './matmul.ts';
import * as movement from './movement.ts';
import * as normalization from './normalization.ts';
import * as reduction from './reduction.ts';
import * as softmax from './softmax.ts';

export const operators: readonly Operator[] = [
  broadcast.sumOperator,
  broadcast.broadcastOperator,
  arithmetic.addOperator,
  arithmetic.subtractOperator,
  arithmetic.multiplyOperator,
  arithmetic.divideOperator,
  arithmetic.maximumOperator,
  arithmetic.floorOperator,
  arithmetic.sqrtOperator,
  arithmetic.sigmoidOperator,
  arithmetic.exponentialOperator,
  arithmetic.logarithmOperator,
  arithmetic.absoluteOperator,
  arithmetic.softplusOperator,
  arithmetic.powerOperator,
  arithmetic.greaterOperator,
  arithmetic.equalOperator,
  arithmetic.leakyReluOperator,
  arithmetic.leakyReluSlopeOperator,
  matmul.matmulOperator,
  matmul.turnedMatmulOperator,
  convolution.convolutionOperator,
  convolution.transposedConvolutionOperator,
  convolution.convolutionTapGradientsOperator,
  normalization.layerNormalizationOperator,
  normalization.instanceNormalizationOperator,
  normalization.batchNormalizationOperator,
  softmax.softmaxOperator,
  softmax.logSoftmaxOperator,
  reduction.meanOperator,
  reduction.l2NormOperator,
  reduction.kthLargestOperator,
  movement.reshapeOperator,
  movement.transposeOperator,
  movement.sliceOperator,
  movement.concatenateOperator,
  movement.padOperator,
];
