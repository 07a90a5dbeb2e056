// Messages from and to their JSON form, for those who show or read them as text.
export {
  create,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toJson,
} from '@bufbuild/protobuf'
