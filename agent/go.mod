module vmsan/agent

go 1.24.0

tool (
	connectrpc.com/connect/cmd/protoc-gen-connect-go
	google.golang.org/protobuf/cmd/protoc-gen-go
)

require (
	connectrpc.com/connect v1.19.1
	github.com/vishvananda/netlink v1.3.1
	golang.org/x/sys v0.41.0
	google.golang.org/protobuf v1.36.11
)

require github.com/vishvananda/netns v0.0.5 // indirect
