// Command log-artifact logs a file to a new run and prints where it is.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"holdfast/client/go/holdfast"
)

func main() {
	ctx := context.Background()
	client, err := holdfast.Connect(ctx, "") // the server at HOLDFAST_URI
	check(err)
	defer func() { check(client.Close()) }()
	experiment, err := client.Experiment(ctx, "first steps")
	check(err)
	run, err := experiment.CreateRun(ctx)
	check(err)
	check(run.LogMetric(ctx, "accuracy", 0.91, 1))
	check(run.LogArtifact(ctx, os.Args[1], ""))
	check(run.Finish(ctx, holdfast.Finished))
	fmt.Println(run.ArtifactURI(""))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
