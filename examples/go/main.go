// A client in Go: Alice follows Bob, reads her feed page by page, and watches it from there, for as long as it runs. When
// the server stops, it connects again, or to another node of the same log, and goes on after the last message that it has
// processed.
//
// README.md says how to run it.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Without it nobody asks whether a node serves.
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	whimbrelv1 "example.org/feed/gen/whimbrel/v1"
)

const (
	// The longest time of a call that is no stream.
	callTimeMax = 10 * time.Second
	// The first pause before a stream is opened again, and the longest one.
	pauseMin = 100 * time.Millisecond
	pauseMax = 5 * time.Second
)

func main() {
	addresses := os.Args[1:]
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1:50051"}
	}
	connection, err := connect(addresses)
	if err != nil {
		log.Fatal(err)
	}
	address := strings.Join(addresses, ", ")
	feed := whimbrelv1.NewFeedServiceClient(connection)
	cursor, err := start(feed)
	if err != nil {
		log.Fatalf("%s: %s: %v", address, reason(err), err)
	}
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		before := cursor
		err := watch(feed, &cursor)
		if code := status.Code(err); code != codes.Unavailable && code != codes.ResourceExhausted {
			log.Fatalf("%s: %s: %v", address, reason(err), err)
		}
		if cursor != before {
			pause = pauseMin
		}
		fmt.Println("connecting again:", reason(err))
		time.Sleep(pause)
	}
}

// connect connects to the nodes of a log, or to the one server. Each call goes to the next node that says that it serves.
func connect(addresses []string) (*grpc.ClientConn, error) {
	nodes := manual.NewBuilderWithScheme("nodes")
	var state resolver.State
	for _, address := range addresses {
		endpoint := resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}
		state.Endpoints = append(state.Endpoints, endpoint)
	}
	nodes.InitialState(state)
	return grpc.NewClient("nodes:///"+addresses[0], grpc.WithResolvers(nodes),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}`))
}

// start follows, publishes and reads all pages. It returns the position of the first page.
func start(feed whimbrelv1.FeedServiceClient) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeMax)
	defer cancel()
	followed, err := feed.Follow(ctx, &whimbrelv1.FollowRequest{UserId: "alice", FolloweeId: "bob"})
	if err != nil {
		return "", err
	}
	fmt.Println("alice follows bob, changed:", followed.Changed)

	// With the same request id a repeat of this call, as after UNAVAILABLE, publishes no second post.
	published, err := feed.Publish(ctx, &whimbrelv1.PublishRequest{UserId: "bob", Text: "The tide goes out.", RequestId: rand.Text()})
	if err != nil {
		return "", err
	}

	// Of several nodes the next one may not show the post yet: it waits until it does.
	request := &whimbrelv1.NewsFeedRequest{UserId: "alice", PageSize: 2, AtLeastCursor: published.Cursor}
	for {
		page, err := feed.NewsFeed(ctx, request)
		if err != nil {
			return "", err
		}
		for _, item := range page.Items {
			fmt.Println("page:", line(item))
		}
		if page.NextPageToken == "" {
			return page.Cursor, nil
		}
		request.PageToken = page.NextPageToken
	}
}

// watch prints what happens after cursor, and moves cursor on, until the stream ends. That is always an error.
func watch(feed whimbrelv1.FeedServiceClient, cursor *string) error {
	// A stream has no deadline: its heartbeats say that it is alive.
	stream, err := feed.WatchFeed(context.Background(), &whimbrelv1.WatchFeedRequest{
		UserId: "alice",
		Start:  &whimbrelv1.WatchFeedRequest_AfterCursor{AfterCursor: *cursor},
	})
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		switch kind := message.Kind.(type) {
		case *whimbrelv1.WatchFeedResponse_Opened:
			fmt.Println("watching")
			*cursor = kind.Opened.Cursor
		case *whimbrelv1.WatchFeedResponse_Batch:
			for _, event := range kind.Batch.Events {
				// The other kinds of events keep a list equal to the page.
				if item := event.GetPosted().GetItem(); item != nil {
					fmt.Println("live:", line(item))
				}
			}
			// A program that ends and comes back stores it here.
			*cursor = kind.Batch.Cursor
		case *whimbrelv1.WatchFeedResponse_CaughtUp:
			*cursor = kind.CaughtUp.Cursor
		case *whimbrelv1.WatchFeedResponse_Bookmark:
			*cursor = kind.Bookmark.Cursor
		case *whimbrelv1.WatchFeedResponse_Closing:
			*cursor = kind.Closing.Cursor
		}
	}
}

// reason is the name in ErrorReason or, for an error that no server made, the code.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return status.Code(err).String()
}

func line(item *whimbrelv1.FeedItem) string {
	return item.GetPost().GetAuthorId() + ": " + item.GetPost().GetText()
}
