/** The ONNX file: records and their bytes. */
export { encodeModel, type ExternalLayout, layOutExternally } from './encode.ts';
export type {
  ExternalLocation,
  OnnxAttribute,
  OnnxInitializer,
  OnnxModel,
  OnnxNode,
  OnnxValueInfo,
} from './model.ts';
