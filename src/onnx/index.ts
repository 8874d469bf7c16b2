/** The ONNX file: records and their bytes. */
export { type ExternalLayout, encodeModel, layOutExternally } from './encode.ts';
export type {
  ExternalLocation,
  OnnxAttribute,
  OnnxInitializer,
  OnnxModel,
  OnnxNode,
  OnnxValueInfo,
} from './model.ts';
