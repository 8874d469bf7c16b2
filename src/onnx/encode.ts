/**
 * ONNX records to protobuf bytes. The wire format is protobufjs's; the field numbers are those of onnx.proto3.
 *
 * Weights are referenced, not copied, until the one final buffer is filled; with `external` they never enter it.
 */
import protobuf from 'protobufjs/minimal.js';
import type { DataType } from '../tensor.ts';
import type { ExternalLocation, OnnxAttribute, OnnxInitializer, OnnxModel, OnnxNode, OnnxValueInfo } from './model.ts';

type Writer = protobuf.Writer;

/** TensorProto.DataType. */
const elementTypes: Record<DataType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
};

const attributeTypes = { float: 1, int: 2, string: 3, ints: 7 } as const;

const VARINT = 0;
const FIXED32 = 5;
const LENGTH_DELIMITED = 2;

function tag(writer: Writer, field: number, wireType: number): Writer {
  return writer.uint32((field << 3) | wireType);
}

function text(writer: Writer, field: number, value: string): void {
  if (value !== '') tag(writer, field, LENGTH_DELIMITED).string(value);
}

function integer(writer: Writer, field: number, value: number): void {
  tag(writer, field, VARINT).int64(value);
}

function message(writer: Writer, field: number, body: () => void): void {
  tag(writer, field, LENGTH_DELIMITED).fork();
  body();
  writer.ldelim();
}

function writeAttribute(writer: Writer, name: string, attribute: OnnxAttribute): void {
  text(writer, 1, name);
  if ('float' in attribute) {
    tag(writer, 2, FIXED32).float(attribute.float);
    integer(writer, 20, attributeTypes.float);
  } else if ('int' in attribute) {
    integer(writer, 3, attribute.int);
    integer(writer, 20, attributeTypes.int);
  } else if ('string' in attribute) {
    tag(writer, 4, LENGTH_DELIMITED).string(attribute.string);
    integer(writer, 20, attributeTypes.string);
  } else {
    for (const value of attribute.ints) integer(writer, 8, value);
    integer(writer, 20, attributeTypes.ints);
  }
}

function writeNode(writer: Writer, node: OnnxNode): void {
  // An absent optional input is an empty string and must be written, so that later inputs keep their place.
  for (const name of node.inputs) tag(writer, 1, LENGTH_DELIMITED).string(name);
  for (const name of node.outputs) tag(writer, 2, LENGTH_DELIMITED).string(name);
  text(writer, 3, node.name);
  text(writer, 4, node.type);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    message(writer, 5, () => writeAttribute(writer, name, attribute));
  }
  text(writer, 7, node.domain);
}

function writePair(writer: Writer, field: number, key: string, value: string): void {
  message(writer, field, () => {
    tag(writer, 1, LENGTH_DELIMITED).string(key);
    tag(writer, 2, LENGTH_DELIMITED).string(value);
  });
}

function writeInitializer(writer: Writer, initializer: OnnxInitializer, external: ExternalLocation | undefined): void {
  for (const length of initializer.shape) integer(writer, 1, length);
  integer(writer, 2, elementTypes[initializer.dtype]);
  text(writer, 8, initializer.name);
  if (external) {
    writePair(writer, 13, 'location', external.file);
    writePair(writer, 13, 'offset', String(external.offset));
    writePair(writer, 13, 'length', String(external.length));
    integer(writer, 14, 1);
  } else {
    tag(writer, 9, LENGTH_DELIMITED).bytes(initializer.bytes);
  }
}

function writeValueInfo(writer: Writer, value: OnnxValueInfo): void {
  text(writer, 1, value.name);
  message(writer, 2, () =>
    message(writer, 1, () => {
      integer(writer, 1, elementTypes[value.dtype]);
      message(writer, 2, () => {
        for (const length of value.shape) message(writer, 1, () => integer(writer, 1, length));
      });
    }),
  );
}

/**
 * @param external says for each initializer by name where its bytes lie instead; absent ones are written into the model
 */
export function encodeModel(model: OnnxModel, external: ReadonlyMap<string, ExternalLocation> = new Map()): Uint8Array {
  const writer = protobuf.Writer.create();
  integer(writer, 1, 10);
  text(writer, 2, 'unetrpp');
  message(writer, 7, () => {
    for (const node of model.nodes) message(writer, 1, () => writeNode(writer, node));
    text(writer, 2, model.graphName);
    for (const initializer of model.initializers) {
      message(writer, 5, () => writeInitializer(writer, initializer, external.get(initializer.name)));
    }
    for (const value of model.inputs) message(writer, 11, () => writeValueInfo(writer, value));
    for (const value of model.outputs) message(writer, 12, () => writeValueInfo(writer, value));
  });
  const domains = new Set(model.nodes.map((node) => node.domain));
  domains.add('');
  for (const domain of domains) {
    message(writer, 8, () => {
      text(writer, 1, domain);
      integer(writer, 2, domain === '' ? model.opset : 1);
    });
  }
  for (const [key, value] of Object.entries(model.metadata)) writePair(writer, 14, key, value);
  return writer.finish();
}

export interface ExternalLayout {
  readonly locations: ReadonlyMap<string, ExternalLocation>;
  /** Initializers in file order; each starts at its location's offset, gaps are zeros. */
  readonly order: readonly OnnxInitializer[];
}

/** Lays initializers of at least `smallest` bytes out in a file of their own, each aligned to 64 bytes. */
export function layOutExternally(model: OnnxModel, file: string, smallest = 1024): ExternalLayout {
  const locations = new Map<string, ExternalLocation>();
  const order: OnnxInitializer[] = [];
  let offset = 0;
  for (const initializer of model.initializers) {
    const length = initializer.bytes.byteLength;
    if (length < smallest) continue;
    locations.set(initializer.name, { file, offset, length });
    order.push(initializer);
    offset = Math.ceil((offset + length) / 64) * 64;
  }
  return { locations, order };
}
