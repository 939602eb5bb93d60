package holdfast

import (
	"iter"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	gproto "google.golang.org/protobuf/proto"

	pb "holdfast/client/go/holdfast/v1"
)

const (
	// Bytes of a block in one message.
	chunkSize = 1 << 20
	// Blocks up to this size share messages.
	smallBlock = 64 << 10
	// What a block takes in a message besides its data.
	blockOverhead = 48

	// Field numbers of WriteBlocksRequest and BlockChunk.
	chunkField, digestField, sizeField, dataField = 2, 1, 2, 3
)

// blockMessage is a message of a WriteBlocks stream, and its size when it is serialized.
type blockMessage struct {
	message any // *pb.WriteBlocksRequest or *chunkMessage
	size    int64
}

// chunkMessage is a serialized WriteBlocksRequest with a chunk, in two parts: what stands before the data, and the data,
// which is a part of a block in memory and is not copied until it is written to the connection.
type chunkMessage struct{ head, data []byte }

// blockMessages are those that send some blocks: small ones together, large ones in chunks.
func blockMessages(blocks []hashedBlock) iter.Seq[blockMessage] {
	return func(yield func(blockMessage) bool) {
		small := &pb.WriteBlocksRequest{}
		size := 0
		for i := range blocks {
			block := &blocks[i]
			if len(block.data) > smallBlock {
				if !yieldChunks(block, yield) {
					return
				}
				continue
			}
			if size+len(block.data)+blockOverhead > chunkSize {
				if !yield(blockMessage{small, int64(gproto.Size(small))}) {
					return
				}
				small, size = &pb.WriteBlocksRequest{}, 0
			}
			small.Blocks = append(small.Blocks, &pb.Block{Digest: block.digest[:], Data: block.data})
			size += len(block.data) + blockOverhead
		}
		if size > 0 {
			yield(blockMessage{small, int64(gproto.Size(small))})
		}
	}
}

func yieldChunks(block *hashedBlock, yield func(blockMessage) bool) bool {
	for start := 0; start < len(block.data); start += chunkSize {
		data := block.data[start:min(start+chunkSize, len(block.data))]
		var fields []byte
		if start == 0 {
			fields = protowire.AppendTag(fields, digestField, protowire.BytesType)
			fields = protowire.AppendBytes(fields, block.digest[:])
			fields = protowire.AppendTag(fields, sizeField, protowire.VarintType)
			fields = protowire.AppendVarint(fields, uint64(len(block.data)))
		}
		fields = protowire.AppendTag(fields, dataField, protowire.BytesType)
		fields = protowire.AppendVarint(fields, uint64(len(data)))
		head := protowire.AppendTag(nil, chunkField, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(len(fields)+len(data)))
		head = append(head, fields...)
		if !yield(blockMessage{&chunkMessage{head, data}, int64(len(head) + len(data))}) {
			return false
		}
	}
	return true
}

// blockCodec is gRPC's codec for protobuf, which also takes chunkMessages: it saves the copy that a generated message
// makes of every megabyte.
type blockCodec struct{ encoding.CodecV2 }

func newBlockCodec() blockCodec { return blockCodec{encoding.GetCodecV2(proto.Name)} }

func (c blockCodec) Marshal(message any) (mem.BufferSlice, error) {
	if chunk, ok := message.(*chunkMessage); ok {
		return mem.BufferSlice{mem.SliceBuffer(chunk.head), mem.SliceBuffer(chunk.data)}, nil
	}
	return c.CodecV2.Marshal(message)
}
