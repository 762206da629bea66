// Command health says how the tools that wait for Kubernetes objects take them: kstatus of cli-utils, which Flux, kpt
// and Config Sync wait by, and CEL expressions as Flux' healthCheckExprs has them.
//
// It reads {"objects": [OBJECT, …], "expressions": [TEXT, …]} from standard input and writes one JSON object a line for
// each object: its status by kstatus, and what each expression gives. Exit codes: 0 done, 1 kstatus or CEL refuses
// something, 2 the input cannot be read.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubernetes "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// What Flux lets an expression see: fields of the object, under their own names.
var fields = []string{"apiVersion", "kind", "metadata", "spec", "status"}

type question struct {
	objects     []map[string]any
	expressions []string
}

type answer struct {
	Status      string `json:"status"`
	Message     string `json:"message"`
	Expressions []bool `json:"expressions"`
}

func main() {
	asked, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "health: %v; give objects and expressions as JSON on standard input\n", err)
		os.Exit(2)
	}
	if err := run(asked); err != nil {
		fmt.Fprintf(os.Stderr, "health: %v\n", err)
		os.Exit(1)
	}
}

// read takes whole numbers for int64, as the API machinery does.
func read(from io.Reader) (question, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return question{}, err
	}
	var stated map[string]any
	if err := kubernetes.Unmarshal(text, &stated); err != nil {
		return question{}, err
	}
	var asked question
	for _, object := range list(stated["objects"]) {
		known, ok := object.(map[string]any)
		if !ok {
			return question{}, errors.New("an object is not a JSON object")
		}
		asked.objects = append(asked.objects, known)
	}
	for _, expression := range list(stated["expressions"]) {
		asked.expressions = append(asked.expressions, fmt.Sprint(expression))
	}
	return asked, nil
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}

func run(asked question) error {
	programs, err := compile(asked.expressions)
	if err != nil {
		return err
	}
	for _, object := range asked.objects {
		result, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			return err
		}
		values, err := evaluate(programs, object)
		if err != nil {
			return err
		}
		line, err := json.Marshal(answer{result.Status.String(), result.Message, values})
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return nil
}

func compile(expressions []string) ([]cel.Program, error) {
	var variables []cel.EnvOption
	for _, field := range fields {
		variables = append(variables, cel.Variable(field, cel.DynType))
	}
	environment, err := cel.NewEnv(variables...)
	if err != nil {
		return nil, err
	}
	var programs []cel.Program
	for _, expression := range expressions {
		checked, issues := environment.Compile(expression)
		if issues.Err() != nil {
			return nil, fmt.Errorf("%s: %w", expression, issues.Err())
		}
		program, err := environment.Program(checked)
		if err != nil {
			return nil, err
		}
		programs = append(programs, program)
	}
	return programs, nil
}

func evaluate(programs []cel.Program, object map[string]any) ([]bool, error) {
	values := []bool{}
	for _, program := range programs {
		value, _, err := program.Eval(object)
		if err != nil {
			return nil, err
		}
		truth, ok := value.Value().(bool)
		if !ok {
			return nil, fmt.Errorf("an expression gave %v, which is neither true nor false", value)
		}
		values = append(values, truth)
	}
	return values, nil
}
